// The WiFi connection, kept up.
#ifndef VOICE_SHELL_WIFI_STATION_H
#define VOICE_SHELL_WIFI_STATION_H

#include <stdint.h>

#include "settings.h"

namespace shell {

class WifiStation {
 public:
  // Keeps a reference to the settings. `hostname` is what the router lists.
  void begin(const Settings& settings, const char* hostname, uint32_t now_ms);
  // Called in every loop; never blocks.
  void poll(uint32_t now_ms);
  bool connected() const { return connected_; }

 private:
  void try_now(uint32_t now_ms);

  const Settings* settings_ = nullptr;
  bool connected_ = false;
  bool told_ = false;
  uint32_t tried_at_ms_ = 0;
};

}  // namespace shell

#endif

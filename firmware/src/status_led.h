// The light that shows what the device is doing.
#ifndef VOICE_SHELL_STATUS_LED_H
#define VOICE_SHELL_STATUS_LED_H

#include <stdint.h>

#include "voice_core/node.h"

namespace shell {

class StatusLed {
 public:
  void begin();
  // Called in every loop.
  void show(voice::Indication indication, uint32_t now_ms);

 private:
  void write(bool on);

  voice::Indication indication_ = voice::Indication::Offline;
  voice::Indication written_ = voice::Indication::Offline;
  uint32_t since_ms_ = 0;
  bool on_ = false;
};

}  // namespace shell

#endif

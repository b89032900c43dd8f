// A push button to ground, without its bouncing.
#ifndef VOICE_SHELL_BUTTON_H
#define VOICE_SHELL_BUTTON_H

#include <stdint.h>

namespace shell {

enum class Edge : uint8_t { None, Pressed, Released };

class Button {
 public:
  void begin();
  // Called in every loop; tells each change once.
  Edge poll(uint32_t now_ms);

 private:
  bool down_ = false;
  bool settling_ = false;
  uint32_t changed_at_ms_ = 0;
};

}  // namespace shell

#endif

// Who the device is: its MAC, a UUID made once, or a name of its owner's choice.
#ifndef VOICE_SHELL_IDENTITY_H
#define VOICE_SHELL_IDENTITY_H

#include "voice_core/config.h"

namespace shell {

// The device id for its topics, as `setting` says: "mac" (12 lower-case hex digits), "uuid" (random, made at the first
// use and kept in NVS until a factory reset), or the id itself.
class Identity {
 public:
  void begin(const char* setting);
  const char* id() const { return id_; }

 private:
  char id_[voice::config::device_id_length + 1] = "";
};

}  // namespace shell

#endif

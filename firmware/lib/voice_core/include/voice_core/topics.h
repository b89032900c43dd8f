// The device's topics, spelled once.
#ifndef VOICE_CORE_TOPICS_H
#define VOICE_CORE_TOPICS_H

#include <stddef.h>
#include <stdint.h>

#include "voice_core/config.h"

namespace voice {

// Whether a device may be called so: 1 to 64 characters of A-Z a-z 0-9 _ - : . and not "gateway", which is reserved.
bool valid_device_id(const char* id);

// Whether all topics may begin so: 1 to 64 bytes of UTF-8, one level or more and none of them empty; no control
// character, no wildcard (+ and #), and no $ in front, which belongs to the broker.
bool valid_root(const char* root);

class Topics {
 public:
  // Spells every topic. False: the root or the id is not valid, and nothing has changed.
  bool set(const char* root, const char* device_id);

  // Empty until set.
  const char* in() const { return in_; }
  const char* out() const { return out_; }
  const char* hello() const { return hello_; }
  const char* control() const { return control_; }
  const char* event() const { return event_; }
  const char* state() const { return state_; }
  const char* online() const { return online_; }

 private:
  using Buffer = char[config::topic_length + 1];

  Buffer in_ = "";
  Buffer out_ = "";
  Buffer hello_ = "";
  Buffer control_ = "";
  Buffer event_ = "";
  Buffer state_ = "";
  Buffer online_ = "";
};

}  // namespace voice

#endif

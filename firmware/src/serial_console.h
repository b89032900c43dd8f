// Settings and a look inside, over the serial line.
#ifndef VOICE_SHELL_SERIAL_CONSOLE_H
#define VOICE_SHELL_SERIAL_CONSOLE_H

#include <stddef.h>

#include "settings.h"
#include "voice_core/node.h"

namespace shell {

// A line of text is a command; "help" lists them. What is typed is not echoed, and a password is never shown.
class SerialConsole {
 public:
  explicit SerialConsole(voice::Node& node) : node_(node) {}

  void begin() { settings_.load(); }
  // Called in every loop: reads what has come, never waits.
  void poll();

 private:
  void run(char* line);
  void help() const;
  void show() const;
  void status() const;
  void set(char* arguments);
  void save();

  // Its own copy, for what has been set and not saved yet: the rest of the device works with what it started with.
  Settings settings_;
  voice::Node& node_;
  char line_[128];
  size_t length_ = 0;
  bool too_long_ = false;
};

}  // namespace shell

#endif

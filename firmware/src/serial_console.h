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
  SerialConsole(Settings& settings, voice::Node& node) : settings_(settings), node_(node) {}

  // Called in every loop: reads what has come, never waits.
  void poll();

 private:
  void run(char* line);
  void help() const;
  void show() const;
  void status() const;
  void set(char* arguments);
  void save();

  Settings& settings_;
  voice::Node& node_;
  char line_[128];
  size_t length_ = 0;
  bool too_long_ = false;
};

}  // namespace shell

#endif

// What can be done to the board from outside.
#ifndef HOST_COMMANDS_H
#define HOST_COMMANDS_H

#include <string>

namespace host {

// Does one line of standard input that begins with '!'. An unknown one is answered with the list.
void run_command(const std::string& line);

// Prints the hardware's counters, as !counters does.
void report_counters();

// Ends the program as a reset does: it begins again with nothing but the flash memory.
[[noreturn]] void restart();

// Whether this process follows a restart.
bool restarted();

}  // namespace host

#endif

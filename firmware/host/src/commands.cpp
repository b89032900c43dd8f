#include "commands.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <map>

#include "WiFiClient.h"
#include "clock.h"
#include "console.h"
#include "options.h"
#include "pins.h"
#include "radio.h"
#include "room.h"
#include "sound.h"

#ifdef __SANITIZE_ADDRESS__
// Of GCC's sanitizer, which comes without a header.
extern "C" size_t __sanitizer_get_current_allocated_bytes();
#endif

namespace host {

namespace {

// Tells the process after the exec that the file of the speaker is to be gone on with.
constexpr char restarted_variable[] = "VIRTUAL_BOARD_RESTARTED";

// Memory that the program has allocated and not freed.
size_t heap_bytes() {
#ifdef __SANITIZE_ADDRESS__
  return __sanitizer_get_current_allocated_bytes();
#else
  return mallinfo2().uordblks;
#endif
}

using Action = void (*)(const std::string& argument);

const std::map<std::string, Action>& actions() {
  static const std::map<std::string, Action> table = {
      {"!press", [](const std::string&) { pins().press(true); }},
      {"!release", [](const std::string&) { pins().press(false); }},
      {"!pins", [](const std::string&) { pins().report(); }},
      {"!say", [](const std::string& path) { room().say(path); }},
      {"!ask",
       [](const std::string& path) {
         pins().press(true);
         room().say(path, [] { pins().press(false); });
       }},
      {"!wifi", [](const std::string& state) { radio().set(state); }},
      {"!cut",
       [](const std::string&) {
         WiFiClient::reset_all();
         console().report("cut");
       }},
      {"!counters", [](const std::string&) { report_counters(); }},
      {"!reset", [](const std::string&) { restart(); }},
      {"!quit", [](const std::string&) { console().end(); }},
  };
  return table;
}

}  // namespace

void run_command(const std::string& line) {
  const size_t space = line.find(' ');
  const std::string name = line.substr(0, space);
  const std::string argument = space == std::string::npos ? "" : line.substr(space + 1);
  const auto found = actions().find(name);
  if (found != actions().end()) {
    found->second(argument);
    return;
  }
  std::string known;
  for (const auto& entry : actions()) known += " " + entry.first;
  console().report("unknown command '%s'; known are%s", name.c_str(), known.c_str());
}

void report_counters() {
  const SoundCounters& sound = sound_counters();
  console().report(
      "counters uptime_ms=%llu stalled_ms=%llu microphone_lost=%llu speaker_samples=%llu speaker_underruns=%llu "
      "speaker_underrun_samples=%llu connects=%llu bytes_sent=%llu bytes_received=%llu heap_bytes=%zu",
      static_cast<unsigned long long>(clock().now_us() / 1000),
      static_cast<unsigned long long>(clock().stalled_us() / 1000), static_cast<unsigned long long>(sound.lost),
      static_cast<unsigned long long>(sound.played), static_cast<unsigned long long>(sound.underruns),
      static_cast<unsigned long long>(sound.underrun_samples), static_cast<unsigned long long>(radio().connects),
      static_cast<unsigned long long>(radio().bytes_sent), static_cast<unsigned long long>(radio().bytes_received),
      heap_bytes());
}

void restart() {
  console().flush();
  console().report("restart");
  speaker_file().flush();
  setenv(restarted_variable, "1", 1);
  fflush(stdout);
  execv("/proc/self/exe", process_arguments());
  fprintf(stderr, "virtual-board: cannot restart: %s\n", strerror(errno));
  exit(1);
}

bool restarted() { return getenv(restarted_variable) != nullptr; }

}  // namespace host

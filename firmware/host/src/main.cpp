// The virtual board: power on, then the program's setup() and loop() until the end.
#include <stdlib.h>
#include <string.h>

#include "Arduino.h"
#include "clock.h"
#include "commands.h"
#include "console.h"
#include "options.h"
#include "room.h"
#include "sound.h"

namespace {

// A loop() that returns at once would keep a core of the host busy. A board's radio takes about as much between two.
constexpr uint64_t pause_us = 1'000;

}  // namespace

int main(int argc, char** argv) {
  host::parse_options(argc, argv);
  host::console().begin();
  host::clock().begin(host::options().millis_offset);
  if (!host::options().wav_out.empty() && !host::speaker_file().open(host::options().wav_out, host::restarted())) {
    fprintf(stderr, "virtual-board: cannot write %s: %s\n", host::options().wav_out.c_str(), strerror(errno));
    return 2;
  }
  setup();
  host::console().report("ready");
  while (!host::console().ended()) {
    loop();
    host::console().poll(pause_us);
    host::sound_tick();
    host::room().tick();
  }
  host::console().flush();
  host::report_counters();
  return 0;
}

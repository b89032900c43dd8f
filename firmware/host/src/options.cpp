#include "options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

namespace host {

namespace {

constexpr char help[] = R"(usage: virtual-board [--wav-out FILE] [--nvs FILE] [--mac MAC] [--millis-offset N]

The firmware of the ESP32 boards as a process: its microphone hears WAV files, its speaker writes one.

options:
  --wav-out FILE      what the speaker plays, as it plays (default: nowhere)
  --nvs FILE          the flash memory of the settings; kept between runs (default: forgotten at the end)
  --mac MAC           the board's MAC address (default: A4:CF:12:8B:3F:9E)
  --millis-offset N   what millis() says at the start; 4294960000 runs it over after 7 s (default: 0)
  --help              this text

On standard input, a line that begins with ! does something to the board; any other is typed on its serial console:
  !press, !release    the button
  !say FILE           sound in the room, in real time: a 16-bit PCM WAV file
  !ask FILE           the button is pressed, the file said, and the button released
  !wifi down          the access point is gone, and the board knows it
  !wifi silent        nothing gets through, and the board notices only after 6 s
  !wifi up            the network is back
  !cut                every connection ends with a TCP reset; the network stays
  !counters           print the hardware's counters
  !pins               print what the lights show
  !reset              the reset button
  !quit               end (as do the end of the input and Ctrl-C)

On standard output, a line that begins with ! tells what the hardware does; any other is the serial console's.

examples:
  virtual-board --nvs board.nvs --wav-out answer.wav
    then type "help" to see how the firmware is set up, and ask with
    !ask question.wav
)";

[[noreturn]] void refuse(const std::string& why) {
  fprintf(stderr, "virtual-board: %s\nTry: virtual-board --help\n", why.c_str());
  exit(2);
}

std::array<uint8_t, 6> parse_mac(const std::string& text) {
  std::array<uint8_t, 6> mac{};
  int end = 0;
  if (sscanf(text.c_str(), "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4],
             &mac[5], &end) != 6 ||
      static_cast<size_t>(end) != text.size()) {
    refuse("--mac takes six bytes like A4:CF:12:8B:3F:9E, not '" + text + "'");
  }
  return mac;
}

uint32_t parse_offset(const std::string& text) {
  char* end = nullptr;
  errno = 0;
  const unsigned long long value = strtoull(text.c_str(), &end, 10);
  if (text.empty() || text[0] == '-' || *end != '\0' || errno != 0 || value > UINT32_MAX) {
    refuse("--millis-offset takes milliseconds from 0 to 4294967295, not '" + text + "'");
  }
  return static_cast<uint32_t>(value);
}

char** arguments = nullptr;

Options& stored() {
  static Options the_options;
  return the_options;
}

}  // namespace

void parse_options(int argc, char** argv) {
  arguments = argv;
  Options& parsed = stored();
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--help" || name == "-h") {
      fputs(help, stdout);
      exit(0);
    }
    if (name != "--wav-out" && name != "--nvs" && name != "--mac" && name != "--millis-offset") {
      refuse("there is no option '" + name + "'");
    }
    if (i + 1 == argc) refuse(name + " needs a value");
    const std::string value = argv[++i];
    if (name == "--wav-out") parsed.wav_out = value;
    if (name == "--nvs") parsed.nvs = value;
    if (name == "--mac") parsed.mac = parse_mac(value);
    if (name == "--millis-offset") parsed.millis_offset = parse_offset(value);
  }
}

char** process_arguments() { return arguments; }

const Options& options() { return stored(); }

}  // namespace host

// The command line of the virtual board.
#ifndef HOST_OPTIONS_H
#define HOST_OPTIONS_H

#include <stdint.h>

#include <array>
#include <string>

namespace host {

struct Options {
  std::string wav_out;
  std::string nvs;
  uint32_t millis_offset = 0;
  std::array<uint8_t, 6> mac{0xA4, 0xCF, 0x12, 0x8B, 0x3F, 0x9E};
};

// Parses, or ends the process: 0 after --help, 2 after an error, which says what to do.
void parse_options(int argc, char** argv);

// The arguments of main(), as exec takes them.
char** process_arguments();

const Options& options();

}  // namespace host

#endif

// WAV files: read whole as mono at a wanted rate, written so that the file can be read at any time.
#ifndef HOST_WAV_H
#define HOST_WAV_H

#include <stdint.h>
#include <stdio.h>

#include <string>
#include <vector>

namespace host {

// The sound of a 16-bit PCM WAV file, mixed to mono and converted to `rate` Hz. `error` says why it is empty.
std::vector<int16_t> read_wav(const std::string& path, uint32_t rate, std::string& error);

class WavWriter {
 public:
  ~WavWriter();

  // Makes the file, or goes on with one that is there. False: it cannot be written (errno says why).
  bool open(const std::string& path, bool append);
  bool is_open() const { return file_ != nullptr; }

  // The first rate is the file's; sound of another rate is converted to it.
  void write(const std::vector<int16_t>& samples, uint32_t rate);

  // Makes what was written so far readable by others.
  void flush();

 private:
  void write_header();

  FILE* file_ = nullptr;
  uint32_t rate_ = 0;
  uint32_t samples_ = 0;
};

}  // namespace host

#endif

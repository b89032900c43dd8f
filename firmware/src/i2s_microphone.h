// The microphone port on ESP-IDF's I2S driver: INMP441 and its kind, or PDM, as the board has it.
#ifndef VOICE_SHELL_I2S_MICROPHONE_H
#define VOICE_SHELL_I2S_MICROPHONE_H

#include <driver/i2s_common.h>

#include "voice_core/ports.h"

namespace shell {

// Runs from begin() on, also when nobody listens: an INMP441 gives nothing but zeros for its first 2^18 clocks, a
// quarter of a second at 16 kHz, and a question would lose its first word.
class I2sMicrophone final : public voice::Microphone {
 public:
  // False, told over serial: the driver refused; the device goes on without a microphone.
  bool begin();

  bool start() override;
  void stop() override {}
  size_t read(int16_t* samples, size_t capacity) override;

 private:
  i2s_chan_handle_t channel_ = nullptr;
};

}  // namespace shell

#endif

// The speaker port on ESP-IDF's I2S driver: MAX98357A and its kind.
#ifndef VOICE_SHELL_I2S_SPEAKER_H
#define VOICE_SHELL_I2S_SPEAKER_H

#include <driver/i2s_common.h>

#include "voice_core/ports.h"

namespace shell {

// The output runs from begin() on, with silence when there is nothing: amplifiers that keep their clock do not click.
class I2sSpeaker final : public voice::Speaker {
 public:
  // False, told over serial: the driver refused; the device goes on without sound.
  bool begin();

  void start(uint32_t rate) override;
  size_t write(const int16_t* samples, size_t count) override;
  size_t queued() override;
  void stop() override;

 private:
  size_t write_stereo(const int16_t* samples, size_t count);
  void fill_up_buffer();
  void enable();

  i2s_chan_handle_t channel_ = nullptr;
  uint32_t rate_ = 0;
  int64_t enabled_at_us_ = 0;
  int64_t silent_from_us_ = 0;  // when the last sample written will have been heard
  size_t position_ = 0;         // frames in the driver's buffer that is being filled
};

}  // namespace shell

#endif

#include "i2s_speaker.h"

#include <Arduino.h>
#include <driver/i2s_std.h>
#include <esp_timer.h>

#include "board.h"
#include "voice_core/config.h"

namespace shell {
namespace {

// The cushion for a loop that is busy elsewhere: 16 x 240 frames are 160 ms at 24 kHz.
constexpr uint32_t dma_buffers = 16;
constexpr uint32_t dma_frames = 240;

// Both slots carry the same sample: the amplifier's SD pin may be wired for left, right or the mean of both, and the
// order of mono samples in memory differs between the ESP32 and its successors.
struct StereoFrame {
  int16_t left;
  int16_t right;
};

constexpr size_t block = 240;  // frames converted at a time

void report(const char* what, esp_err_t error) { Serial.printf("speaker: %s: %s\n", what, esp_err_to_name(error)); }

int64_t duration_us(size_t frames, uint32_t rate) { return static_cast<int64_t>(frames) * 1000000 / rate; }

// Overwrites what the driver still holds, so that it is not heard when the channel is enabled again.
void silence(i2s_chan_handle_t channel) {
  static const StereoFrame zeros[dma_frames] = {};
  for (uint32_t i = 0; i < dma_buffers; ++i) {
    size_t loaded = 0;
    if (i2s_channel_preload_data(channel, zeros, sizeof(zeros), &loaded) != ESP_OK || loaded < sizeof(zeros)) break;
  }
}

}  // namespace

bool I2sSpeaker::begin() {
  i2s_chan_config_t channel_config = I2S_CHANNEL_DEFAULT_CONFIG(I2S_NUM_1, I2S_ROLE_MASTER);
  channel_config.dma_desc_num = dma_buffers;
  channel_config.dma_frame_num = dma_frames;
  // The driver sends a buffer again and again unless it clears it: a reply that stops coming must become silence, not
  // a rattle.
  channel_config.auto_clear = true;
  i2s_chan_handle_t channel = nullptr;
  esp_err_t error = i2s_new_channel(&channel_config, &channel, nullptr);
  if (error == ESP_OK) {
    i2s_std_config_t config = {
        .clk_cfg = I2S_STD_CLK_DEFAULT_CONFIG(voice::config::reply_rate),
        .slot_cfg = I2S_STD_PHILIPS_SLOT_DEFAULT_CONFIG(I2S_DATA_BIT_WIDTH_16BIT, I2S_SLOT_MODE_STEREO),
        .gpio_cfg = {},
    };
    config.gpio_cfg.mclk = I2S_GPIO_UNUSED;
    config.gpio_cfg.bclk = static_cast<gpio_num_t>(board.speaker_clock);
    config.gpio_cfg.ws = static_cast<gpio_num_t>(board.speaker_word_select);
    config.gpio_cfg.dout = static_cast<gpio_num_t>(board.speaker_data);
    config.gpio_cfg.din = I2S_GPIO_UNUSED;
    error = i2s_channel_init_std_mode(channel, &config);
  }
  if (error != ESP_OK) {
    report("cannot start (check the pins in src/board.h)", error);
    return false;
  }
  channel_ = channel;
  rate_ = voice::config::reply_rate;
  enable();
  return true;
}

void I2sSpeaker::enable() {
  const esp_err_t error = i2s_channel_enable(channel_);
  if (error != ESP_OK) report("cannot go on", error);
  enabled_at_us_ = esp_timer_get_time();
  silent_from_us_ = 0;
  position_ = 0;
}

void I2sSpeaker::start(uint32_t rate) {
  if (channel_ == nullptr || rate == rate_) return;
  const i2s_std_clk_config_t clock = I2S_STD_CLK_DEFAULT_CONFIG(rate);
  i2s_channel_disable(channel_);
  silence(channel_);
  const esp_err_t error = i2s_channel_reconfig_std_clock(channel_, &clock);
  if (error == ESP_OK) {
    rate_ = rate;
  } else {
    report("this rate was refused", error);
  }
  enable();
}

size_t I2sSpeaker::write(const int16_t* samples, size_t count) {
  // Without an amplifier's clock nothing would ever be taken and a reply never end: it is swallowed instead.
  if (channel_ == nullptr) return count;
  const int64_t now = esp_timer_get_time();
  const bool was_silent = now >= silent_from_us_;
  if (was_silent) fill_up_buffer();
  const size_t written = write_stereo(samples, count);
  if (was_silent && written > 0) {
    // The buffer that is being sent goes to its end first; just after enabling, all of the empty ring does.
    const int64_t ring_left_us = enabled_at_us_ + duration_us(dma_buffers * dma_frames, rate_) - now;
    const int64_t buffer_us = duration_us(dma_frames, rate_);
    silent_from_us_ = now + (ring_left_us > buffer_us ? ring_left_us : buffer_us);
  }
  silent_from_us_ += duration_us(written, rate_);
  return written;
}

// Of silence that has fallen in between, the driver knows nothing: it would go on in the middle of a buffer whose turn
// has passed, and what follows would be heard before it. Zeros to that buffer's end put the next sample at the
// beginning of the buffer that is sent next.
void I2sSpeaker::fill_up_buffer() {
  static const int16_t zeros[dma_frames] = {};
  if (position_ != 0) write_stereo(zeros, dma_frames - position_);
}

size_t I2sSpeaker::write_stereo(const int16_t* samples, size_t count) {
  size_t written = 0;
  while (written < count) {
    StereoFrame frames[block];
    const size_t part = count - written < block ? count - written : block;
    for (size_t i = 0; i < part; ++i) frames[i] = {samples[written + i], samples[written + i]};
    size_t bytes = 0;
    // A time limit of 0: what fits, at once. The driver's ESP_ERR_TIMEOUT then only says that it was less.
    i2s_channel_write(channel_, frames, part * sizeof(StereoFrame), &bytes, 0);
    written += bytes / sizeof(StereoFrame);
    if (bytes < part * sizeof(StereoFrame)) break;
  }
  position_ = (position_ + written) % dma_frames;
  return written;
}

// By the clock: the driver does not tell how much it holds. Both clocks come from one crystal and each pause sets the
// count right.
size_t I2sSpeaker::queued() {
  const int64_t left_us = silent_from_us_ - esp_timer_get_time();
  if (channel_ == nullptr || left_us <= 0) return 0;
  // Rounded up: 0 means that the last sample has been heard.
  return static_cast<size_t>((left_us * rate_ + 999999) / 1000000);
}

void I2sSpeaker::stop() {
  if (channel_ == nullptr || queued() == 0) return;
  i2s_channel_disable(channel_);
  silence(channel_);
  enable();
}

}  // namespace shell

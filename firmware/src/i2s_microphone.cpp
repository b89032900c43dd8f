#include "i2s_microphone.h"

#include <Arduino.h>
#include <driver/i2s_pdm.h>
#include <driver/i2s_std.h>

#include "board.h"
#include "voice_core/config.h"

namespace shell {
namespace {

// The whole program is one loop: this much recording waits for it while it is busy elsewhere, most of all in a socket
// that takes its time. 10 x 256 samples are 160 ms. What is older is overwritten by the driver.
constexpr uint32_t dma_buffers = 10;
constexpr uint32_t dma_frames = 256;

// An I2S microphone has 24 bits in a slot of 32, and leaves the other slot empty. Both slots are read and the left one
// (L/R to ground) is picked here, because the order of mono samples in memory differs between the ESP32 and its
// successors.
struct I2sFrame {
  int32_t left;
  int32_t right;
};

constexpr size_t block = 128;  // samples converted at a time

int16_t clip(int32_t sample) {
  if (sample > 32767) return 32767;
  if (sample < -32768) return -32768;
  return static_cast<int16_t>(sample);
}

esp_err_t init_standard(i2s_chan_handle_t channel) {
  i2s_std_config_t config = {
      .clk_cfg = I2S_STD_CLK_DEFAULT_CONFIG(voice::config::mic_rate),
      .slot_cfg = I2S_STD_PHILIPS_SLOT_DEFAULT_CONFIG(I2S_DATA_BIT_WIDTH_32BIT, I2S_SLOT_MODE_STEREO),
      .gpio_cfg = {},
  };
  config.gpio_cfg.mclk = I2S_GPIO_UNUSED;
  config.gpio_cfg.bclk = static_cast<gpio_num_t>(board.mic_clock);
  config.gpio_cfg.ws = static_cast<gpio_num_t>(board.mic_word_select);
  config.gpio_cfg.dout = I2S_GPIO_UNUSED;
  config.gpio_cfg.din = static_cast<gpio_num_t>(board.mic_data);
  return i2s_channel_init_std_mode(channel, &config);
}

esp_err_t init_pdm(i2s_chan_handle_t channel) {
  i2s_pdm_rx_config_t config = {
      .clk_cfg = I2S_PDM_RX_CLK_DEFAULT_CONFIG(voice::config::mic_rate),
      .slot_cfg = I2S_PDM_RX_SLOT_DEFAULT_CONFIG(I2S_DATA_BIT_WIDTH_16BIT, I2S_SLOT_MODE_MONO),
      .gpio_cfg = {},
  };
  config.gpio_cfg.clk = static_cast<gpio_num_t>(board.mic_clock);
  config.gpio_cfg.din = static_cast<gpio_num_t>(board.mic_data);
  return i2s_channel_init_pdm_rx_mode(channel, &config);
}

}  // namespace

bool I2sMicrophone::begin() {
  // PDM is received by I2S 0 only, so the microphone takes that one on every board and the speaker the other.
  i2s_chan_config_t config = I2S_CHANNEL_DEFAULT_CONFIG(I2S_NUM_0, I2S_ROLE_MASTER);
  config.dma_desc_num = dma_buffers;
  config.dma_frame_num = dma_frames;
  i2s_chan_handle_t channel = nullptr;
  esp_err_t error = i2s_new_channel(&config, nullptr, &channel);
  if (error == ESP_OK) {
    error = board.microphone == MicrophoneKind::Pdm ? init_pdm(channel) : init_standard(channel);
  }
  if (error == ESP_OK) error = i2s_channel_enable(channel);
  if (error != ESP_OK) {
    Serial.printf("microphone: %s (check the pins in src/board.h)\n", esp_err_to_name(error));
    return false;
  }
  channel_ = channel;
  return true;
}

bool I2sMicrophone::start() {
  if (channel_ == nullptr) return false;
  // What was recorded before the button was pressed is not part of the question. Reading is faster than recording, so
  // this ends; the bound is for a driver that thinks otherwise.
  int16_t dropped[block];
  for (size_t reads = 0; reads < 2 * dma_buffers * dma_frames / block; ++reads) {
    if (read(dropped, block) == 0) break;
  }
  return true;
}

size_t I2sMicrophone::read(int16_t* samples, size_t capacity) {
  if (channel_ == nullptr) return 0;
  size_t count = 0;
  while (count < capacity) {
    const size_t wanted = capacity - count < block ? capacity - count : block;
    size_t got = 0;
    // A time limit of 0: what is there, at once. The driver's ESP_ERR_TIMEOUT then only says that it was less.
    if (board.microphone == MicrophoneKind::Pdm) {
      size_t bytes = 0;
      i2s_channel_read(channel_, samples + count, wanted * sizeof(int16_t), &bytes, 0);
      got = bytes / sizeof(int16_t);
      for (size_t i = count; i < count + got; ++i) samples[i] = clip(samples[i] * (1 << board.mic_gain_bits));
    } else {
      I2sFrame frames[block];
      size_t bytes = 0;
      i2s_channel_read(channel_, frames, wanted * sizeof(I2sFrame), &bytes, 0);
      got = bytes / sizeof(I2sFrame);
      for (size_t i = 0; i < got; ++i) samples[count + i] = clip(frames[i].left >> (16 - board.mic_gain_bits));
    }
    count += got;
    if (got < wanted) break;
  }
  return count;
}

}  // namespace shell

// The I2S driver: channels with a ring of DMA buffers, as in ESP-IDF.
//
// The hardware goes round the ring by itself. Each buffer that it is done with (sent, or filled by the microphone) goes
// into a queue of one less than there are buffers, the oldest falling out; the program takes buffers from that queue,
// one at a time, and writes into them or reads from them. So it can be ahead of the speaker, or behind the microphone,
// by that many buffers; and a buffer that it keeps half done while the hardware passes is heard, or overwritten, as it
// is.
#include <string.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <vector>

#include "clock.h"
#include "driver/i2s_common.h"
#include "driver/i2s_pdm.h"
#include "driver/i2s_std.h"
#include "esp_timer.h"
#include "room.h"
#include "sound.h"

namespace {

// Bits that a microphone leaves above speech at an ordinary distance, for sounds that are far louder. The sound of a
// WAV file is taken to be speech as a recorder would have set its level.
constexpr int i2s_headroom_bits = 4;
constexpr int pdm_headroom_bits = 2;

// Reads with longer pauses than this are not one recording: what was overwritten in between nobody wanted.
constexpr uint64_t recording_pause_us = 500'000;

enum class State { registered, ready, running };

struct Buffer {
  std::vector<uint8_t> bytes;
  std::vector<bool> written;  // for each frame
};

}  // namespace

struct i2s_channel_obj_t {
  bool sends = false;
  State state = State::registered;
  i2s_chan_config_t config{};
  uint32_t rate = 0;
  bool pdm = false;
  size_t sample_bytes = 2;
  size_t slots = 1;

  std::vector<Buffer> ring;
  std::deque<size_t> done;  // buffers that the hardware is done with
  uint64_t enabled_us = 0;
  uint64_t frames = 0;  // that the hardware has sent or received since then
  int current = -1;     // the buffer that the program has taken, and how far it has come in it
  size_t position = 0;

  host::Loudspeaker loudspeaker;
  uint64_t read_us = 0;
  uint64_t overwritten = 0;  // since the last read

  size_t frame_bytes() const { return sample_bytes * slots; }
  size_t buffer_bytes() const { return frame_bytes() * config.dma_frame_num; }

  void init(uint32_t sample_rate, i2s_data_bit_width_t width, i2s_slot_mode_t mode);
  void advance();
  esp_err_t transfer(uint8_t* bytes, size_t size, size_t* moved, uint32_t timeout_ms);
  bool take_buffer(uint32_t timeout_ms);
  void move(uint8_t* bytes, size_t size);

 private:
  void send(size_t first, size_t count, Buffer& buffer);
  void receive(size_t first, size_t count, Buffer& buffer);
  void finish(size_t index);
};

namespace {

std::vector<std::unique_ptr<i2s_channel_obj_t>>& channels() {
  static std::vector<std::unique_ptr<i2s_channel_obj_t>> all;
  return all;
}

}  // namespace

void i2s_channel_obj_t::init(uint32_t sample_rate, i2s_data_bit_width_t width, i2s_slot_mode_t mode) {
  rate = sample_rate;
  sample_bytes = static_cast<size_t>(width) / 8;
  slots = static_cast<size_t>(mode);
  ring.assign(config.dma_desc_num,
              Buffer{std::vector<uint8_t>(buffer_bytes()), std::vector<bool>(config.dma_frame_num)});
  state = State::ready;
}

// Does what the hardware has done up to now.
void i2s_channel_obj_t::advance() {
  if (state != State::running) return;
  const uint64_t until = (host::clock().now_us() - enabled_us) * rate / 1'000'000;
  while (frames < until) {
    const size_t index = static_cast<size_t>(frames / config.dma_frame_num % ring.size());
    const size_t first = static_cast<size_t>(frames % config.dma_frame_num);
    const size_t count = static_cast<size_t>(std::min<uint64_t>(config.dma_frame_num - first, until - frames));
    if (sends) {
      send(first, count, ring[index]);
    } else {
      receive(first, count, ring[index]);
    }
    frames += count;
    if (first + count == config.dma_frame_num) finish(index);
  }
}

void i2s_channel_obj_t::send(size_t first, size_t count, Buffer& buffer) {
  std::vector<int16_t> samples;
  for (size_t i = first; i < first + count; ++i) {
    if (!buffer.written[i]) {
      loudspeaker.play(samples, rate);
      samples.clear();
      loudspeaker.silence(1, rate);
      continue;
    }
    int32_t sum = 0;
    for (size_t slot = 0; slot < slots; ++slot) {
      int16_t sample = 0;
      memcpy(&sample, &buffer.bytes[i * frame_bytes() + slot * sample_bytes + sample_bytes - 2], 2);
      sum += sample;
    }
    samples.push_back(static_cast<int16_t>(sum / static_cast<int32_t>(slots)));
  }
  loudspeaker.play(samples, rate);
}

void i2s_channel_obj_t::receive(size_t first, size_t count, Buffer& buffer) {
  std::vector<int16_t> samples(count);
  host::room().hear(enabled_us + frames * 1'000'000 / rate, rate, samples.data(), count);
  for (size_t i = 0; i < count; ++i) {
    uint8_t* const frame = &buffer.bytes[(first + i) * frame_bytes()];
    memset(frame, 0, frame_bytes());
    if (sample_bytes == 4) {
      const int32_t sample = samples[i] * (1 << (16 - i2s_headroom_bits));
      memcpy(frame, &sample, sizeof sample);  // the left slot
    } else {
      const int16_t sample = static_cast<int16_t>(samples[i] / (1 << pdm_headroom_bits));
      memcpy(frame, &sample, sizeof sample);
    }
  }
}

void i2s_channel_obj_t::finish(size_t index) {
  if (sends && config.auto_clear) {
    std::fill(ring[index].bytes.begin(), ring[index].bytes.end(), static_cast<uint8_t>(0));
    std::fill(ring[index].written.begin(), ring[index].written.end(), false);
  }
  if (done.size() == ring.size() - 1) {
    done.pop_front();
    if (!sends) overwritten += config.dma_frame_num;
  }
  done.push_back(index);
}

// Takes the next buffer that the hardware is done with.
bool i2s_channel_obj_t::take_buffer(uint32_t timeout_ms) {
  const uint64_t began_us = host::clock().now_us();
  while (done.empty()) {
    const uint64_t waited_us = host::clock().now_us() - began_us;
    if (waited_us >= static_cast<uint64_t>(timeout_ms) * 1000) return false;
    host::clock().wait(1'000);
    advance();
  }
  current = static_cast<int>(done.front());
  done.pop_front();
  position = 0;
  return true;
}

esp_err_t i2s_channel_obj_t::transfer(uint8_t* bytes, size_t size, size_t* moved, uint32_t timeout_ms) {
  *moved = 0;
  if (state != State::running) return ESP_ERR_INVALID_STATE;
  advance();
  while (*moved < size) {
    if ((current < 0 || position == buffer_bytes()) && !take_buffer(timeout_ms)) return ESP_ERR_TIMEOUT;
    const size_t part = std::min(size - *moved, buffer_bytes() - position);
    move(bytes + *moved, part);
    *moved += part;
  }
  return ESP_OK;
}

// Copies between the program and the buffer that it has taken.
void i2s_channel_obj_t::move(uint8_t* bytes, size_t size) {
  Buffer& buffer = ring[static_cast<size_t>(current)];
  if (sends) {
    memcpy(&buffer.bytes[position], bytes, size);
    for (size_t i = position / frame_bytes(); i < (position + size) / frame_bytes(); ++i) buffer.written[i] = true;
  } else {
    memcpy(bytes, &buffer.bytes[position], size);
  }
  position += size;
}

esp_err_t i2s_new_channel(const i2s_chan_config_t* config, i2s_chan_handle_t* sending, i2s_chan_handle_t* receiving) {
  if (config->dma_desc_num < 2 || config->dma_frame_num == 0) return ESP_ERR_INVALID_ARG;
  for (i2s_chan_handle_t* const handle : {sending, receiving}) {
    if (handle == nullptr) continue;
    channels().push_back(std::make_unique<i2s_channel_obj_t>());
    *handle = channels().back().get();
    (*handle)->config = *config;
    (*handle)->sends = handle == sending;
  }
  return ESP_OK;
}

esp_err_t i2s_channel_init_std_mode(i2s_chan_handle_t channel, const i2s_std_config_t* config) {
  if (channel->state != State::registered) return ESP_ERR_INVALID_STATE;
  channel->init(config->clk_cfg.sample_rate_hz, config->slot_cfg.data_bit_width, config->slot_cfg.slot_mode);
  return ESP_OK;
}

esp_err_t i2s_channel_init_pdm_rx_mode(i2s_chan_handle_t channel, const i2s_pdm_rx_config_t* config) {
  if (channel->state != State::registered || channel->sends) return ESP_ERR_INVALID_STATE;
  channel->init(config->clk_cfg.sample_rate_hz, config->slot_cfg.data_bit_width, config->slot_cfg.slot_mode);
  channel->pdm = true;
  return ESP_OK;
}

esp_err_t i2s_channel_reconfig_std_clock(i2s_chan_handle_t channel, const i2s_std_clk_config_t* clock) {
  if (channel->state != State::ready) return ESP_ERR_INVALID_STATE;
  if (clock->sample_rate_hz == 0) return ESP_ERR_INVALID_ARG;
  channel->rate = clock->sample_rate_hz;
  return ESP_OK;
}

esp_err_t i2s_channel_enable(i2s_chan_handle_t channel) {
  if (channel->state != State::ready) return ESP_ERR_INVALID_STATE;
  channel->state = State::running;
  channel->enabled_us = host::clock().now_us();
  channel->frames = 0;
  channel->done.clear();
  channel->overwritten = 0;
  return ESP_OK;
}

esp_err_t i2s_channel_disable(i2s_chan_handle_t channel) {
  if (channel->state != State::running) return ESP_ERR_INVALID_STATE;
  channel->advance();
  channel->state = State::ready;
  channel->current = -1;
  channel->position = 0;
  channel->loudspeaker.stop();
  return ESP_OK;
}

esp_err_t i2s_channel_preload_data(i2s_chan_handle_t channel, const void* source, size_t size, size_t* loaded) {
  *loaded = 0;
  if (!channel->sends) return ESP_ERR_INVALID_ARG;
  if (channel->state != State::ready) return ESP_ERR_INVALID_STATE;
  // The real driver takes the bytes as const and only reads them; so does move() of a channel that sends.
  uint8_t* const bytes = const_cast<uint8_t*>(static_cast<const uint8_t*>(source));
  if (channel->current < 0) channel->current = 0;
  while (*loaded < size) {
    if (channel->position == channel->buffer_bytes()) {
      if (static_cast<size_t>(channel->current) + 1 == channel->ring.size()) break;
      ++channel->current;
      channel->position = 0;
    }
    const size_t part = std::min(size - *loaded, channel->buffer_bytes() - channel->position);
    channel->move(bytes + *loaded, part);
    *loaded += part;
  }
  return ESP_OK;
}

esp_err_t i2s_channel_write(i2s_chan_handle_t channel, const void* source, size_t size, size_t* written,
                            uint32_t timeout_ms) {
  if (!channel->sends) return ESP_ERR_INVALID_ARG;
  return channel->transfer(const_cast<uint8_t*>(static_cast<const uint8_t*>(source)), size, written, timeout_ms);
}

esp_err_t i2s_channel_read(i2s_chan_handle_t channel, void* destination, size_t size, size_t* read,
                           uint32_t timeout_ms) {
  if (channel->sends) return ESP_ERR_INVALID_ARG;
  const esp_err_t error = channel->transfer(static_cast<uint8_t*>(destination), size, read, timeout_ms);
  const uint64_t now_us = host::clock().now_us();
  const bool recording = channel->read_us != 0 && now_us - channel->read_us < recording_pause_us;
  if (recording) host::sound_counters().lost += channel->overwritten;
  channel->overwritten = 0;
  channel->read_us = now_us;
  return error;
}

const char* esp_err_to_name(esp_err_t error) {
  switch (error) {
    case ESP_OK:
      return "ESP_OK";
    case ESP_ERR_INVALID_ARG:
      return "ESP_ERR_INVALID_ARG";
    case ESP_ERR_INVALID_STATE:
      return "ESP_ERR_INVALID_STATE";
    case ESP_ERR_NOT_FOUND:
      return "ESP_ERR_NOT_FOUND";
    case ESP_ERR_TIMEOUT:
      return "ESP_ERR_TIMEOUT";
    default:
      return "ESP_FAIL";
  }
}

int64_t esp_timer_get_time() { return static_cast<int64_t>(host::clock().now_us()); }

void host::sound_tick() {
  for (const auto& channel : channels()) channel->advance();
}

#include "voice_core/uplink.h"

#include <string.h>

namespace voice {
namespace {

size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

}  // namespace

void Uplink::arm() {
  drop();
  armed_ = true;
}

void Uplink::begin(uint16_t turn, uint32_t now_ms) {
  if (!armed_) drop();
  // What was kept are the first frames; until now nobody knew their numbers.
  next_seq_ = 0;
  for (size_t left = blocks_.size(); left > 0; --left) {
    Block block;
    blocks_.read(&block, 1);
    block.seq = next_seq_++;
    blocks_.write(&block, 1);
  }
  turn_ = turn;
  taken_at_ = now_ms;
  armed_ = false;
  active_ = true;
}

void Uplink::feed(const int16_t* samples, size_t count) {
  if (!armed_ && (!active_ || ending_)) return;
  while (count > 0) {
    const size_t part = smaller(count, chunk_samples() - filled_);
    memcpy(samples_ + filled_, samples, part * sizeof(int16_t));
    filled_ += part;
    samples += part;
    count -= part;
    if (filled_ == chunk_samples()) close_chunk();
  }
}

void Uplink::end() {
  if (!active_ || ending_) return;
  if (filled_ > 0) close_chunk();
  ending_ = true;
}

void Uplink::pump(uint32_t now_ms) {
  if (!active_) return;
  Block block;
  while (blocks_.peek(&block, 1) == 1) {
    const bool last = ending_ && blocks_.size() == 1 && static_cast<uint16_t>(block.seq + 1) == next_seq_;
    bytes_.peek(message_ + frame_header_size, block.size);
    if (!publish(block.seq, last ? flag::end : 0, block.size)) return;
    bytes_.discard(block.size);
    blocks_.discard(1);
    end_sent_ = last;
    taken_at_ = now_ms;
  }
  if (!ending_ || end_sent_) return;
  // The last frame had left already, or found no room: an empty one says that this was all.
  if (!publish(next_seq_, flag::end, 0)) return;
  end_sent_ = true;
  taken_at_ = now_ms;
}

void Uplink::drop() {
  bytes_.clear();
  blocks_.clear();
  encoder_.reset();
  filled_ = 0;
  armed_ = false;
  active_ = false;
  ending_ = false;
  end_sent_ = false;
  any_sent_ = false;
}

bool Uplink::publish_cancel(uint16_t turn) {
  FrameHeader header;
  header.turn = turn;
  header.flags = flag::cancel;
  header.codec = codec_;
  header.rate = config::mic_rate;
  uint8_t message[frame_header_size];
  if (link_.publish(topics_.in(), message, encode_header(header, message), false)) return true;
  ++counters_.publish_refused;
  return false;
}

uint32_t Uplink::stuck_ms(uint32_t now_ms) const {
  const bool waits = active_ && (!blocks_.empty() || (ending_ && !end_sent_));
  return waits ? now_ms - taken_at_ : 0;
}

size_t Uplink::chunk_samples(Codec codec) {
  return codec == Codec::Pcm ? config::pcm_chunk_samples : config::adpcm_chunk_samples;
}

size_t Uplink::largest_message(Codec codec) {
  const size_t samples = chunk_samples(codec);
  return frame_header_size + (codec == Codec::Pcm ? 2 * samples : adpcm_block_size(samples));
}

void Uplink::close_chunk() {
  // The place in a message is free between two calls of publish().
  const size_t size = encode(message_ + frame_header_size);
  filled_ = 0;
  const Block block = {next_seq_, static_cast<uint16_t>(size)};
  if (armed_) trim_pre_roll();
  if (bytes_.free() < size || blocks_.free() == 0) {
    ++counters_.frames_dropped;
  } else {
    bytes_.write(message_ + frame_header_size, size);
    blocks_.write(&block, 1);
  }
  if (active_) ++next_seq_;
}

// Makes room so that, with the chunk that is added now, no more is kept than the pre-roll needs.
void Uplink::trim_pre_roll() {
  const size_t needed = (config::pre_roll_samples + chunk_samples() - 1) / chunk_samples();
  Block block;
  while (blocks_.size() >= (needed > 0 ? needed : 1) && blocks_.read(&block, 1) == 1) bytes_.discard(block.size);
}

size_t Uplink::encode(uint8_t* out) {
  if (codec_ == Codec::Adpcm) return encoder_.encode(samples_, filled_, out);
  for (size_t i = 0; i < filled_; ++i) {
    const uint16_t sample = static_cast<uint16_t>(samples_[i]);
    out[2 * i] = static_cast<uint8_t>(sample & 0xFF);
    out[2 * i + 1] = static_cast<uint8_t>(sample >> 8);
  }
  return 2 * filled_;
}

// Publishes the frame whose audio stands in message_ already.
bool Uplink::publish(uint16_t seq, uint8_t flags, size_t audio_size) {
  FrameHeader header;
  header.turn = turn_;
  header.seq = seq;
  header.flags = seq == 0 ? static_cast<uint8_t>(flags | flag::start) : flags;
  header.codec = codec_;
  header.rate = config::mic_rate;
  const size_t size = encode_header(header, message_) + audio_size;
  if (!link_.publish(topics_.in(), message_, size, false)) {
    ++counters_.publish_refused;
    return false;
  }
  ++counters_.frames_sent;
  any_sent_ = true;
  return true;
}

}  // namespace voice

#include "voice_core/player.h"

#include <string.h>

#include "voice_core/frame.h"

namespace voice {

void Player::begin(uint8_t volume, uint32_t now_ms) {
  stop();
  decoder_.reset();
  volume_ = volume;
  progress_at_ = now_ms;
  mode_ = Mode::Buffering;
}

void Player::play_tone(ToneKind kind, uint32_t now_ms) {
  stop();
  tone_.start(kind, config::reply_rate);
  speaker_rate_ = config::reply_rate;
  speaker_.start(speaker_rate_);
  progress_at_ = now_ms;
  mode_ = Mode::Tone;
}

void Player::stop() {
  if (speaker_rate_ != 0) speaker_.stop();
  speaker_rate_ = 0;
  mode_ = Mode::Silent;
  reply_heard_ = false;
  input_size_ = 0;
  fed_ = 0;
  consumed_ = 0;
  sample_count_ = 0;
  sample_next_ = 0;
  decoded_ = 0;
  written_ = 0;
  heard_ = 0;
}

void Player::tick(uint32_t now_ms) {
  if (mode_ == Mode::Silent) return;
  if (mode_ == Mode::Tone) {
    tick_tone(now_ms);
  } else {
    tick_reply(now_ms);
  }
}

void Player::tick_reply(uint32_t now_ms) {
  note_progress(now_ms);
  if (mode_ == Mode::Buffering) {
    if (!buffer_.ended() && buffer_.size() + input_size_ < pre_buffer_bytes) return;
    mode_ = Mode::Playing;
  } else if (written_ > 0 && speaker_.queued() == 0 && (sample_next_ < sample_count_ || buffer_.size() > 0)) {
    ++counters_.speaker_starved;
  }
  for (size_t i = 0; i < decodes_per_tick; ++i) {
    if (!flush_samples()) return;
    if (!decode()) {
      if (speaker_.queued() == 0) run_dry();
      return;
    }
  }
  flush_samples();
}

// Everything that came has been heard.
void Player::run_dry() {
  if (!buffer_.ended()) {
    if (written_ > 0) ++counters_.underruns;
    mode_ = Mode::Buffering;
    return;
  }
  buffer_.heard_all();
  if (speaker_rate_ != 0) speaker_.stop();
  speaker_rate_ = 0;
  mode_ = Mode::Silent;
  reply_heard_ = true;
  if (undecodable()) counters_.undecodable_bytes += fed_;
}

void Player::tick_tone(uint32_t now_ms) {
  for (;;) {
    if (sample_next_ == sample_count_) {
      sample_next_ = 0;
      sample_count_ = tone_.read(samples_, config::decoder_samples);
      if (sample_count_ == 0) break;
    }
    sample_next_ += speaker_.write(samples_ + sample_next_, sample_count_ - sample_next_);
    if (sample_next_ < sample_count_) break;
  }
  const bool over = sample_next_ == sample_count_ && tone_.done() && speaker_.queued() == 0;
  if (over || now_ms - progress_at_ >= config::tone_limit_ms) stop();
}

// Decodes the next MP3 frame. False: it needs more of the reply than there is.
bool Player::decode() {
  const size_t fresh = buffer_.read(input_ + input_size_, input_bytes - input_size_);
  input_size_ += fresh;
  fed_ += static_cast<uint32_t>(fresh);
  if (input_size_ == 0) return false;
  const Decoded decoded = decoder_.decode(input_, input_size_, samples_);
  if (decoded.consumed == 0 && decoded.samples == 0) return false;
  input_size_ -= decoded.consumed;
  memmove(input_, input_ + decoded.consumed, input_size_);
  consumed_ += static_cast<uint32_t>(decoded.consumed);
  if (decoded.samples == 0 || !valid_rate(decoded.rate)) return true;
  sample_next_ = 0;
  sample_count_ = decoded.samples;
  sample_rate_ = decoded.rate;
  if (volume_ != full_volume) {
    for (size_t i = 0; i < sample_count_; ++i) {
      samples_[i] = static_cast<int16_t>(samples_[i] * volume_ / full_volume);
    }
  }
  decoded_ += static_cast<uint32_t>(decoded.samples);
  buffer_.decoded(consumed_, decoded_);
  return true;
}

// Hands on what has been decoded. False: the speaker has no room for all of it yet.
bool Player::flush_samples() {
  if (sample_next_ == sample_count_) return true;
  if (speaker_rate_ != sample_rate_) {
    // A reply has one rate; if one does not, what is queued is heard out at its own.
    if (speaker_rate_ != 0 && speaker_.queued() > 0) return false;
    speaker_.start(sample_rate_);
    speaker_rate_ = sample_rate_;
  }
  const size_t taken = speaker_.write(samples_ + sample_next_, sample_count_ - sample_next_);
  sample_next_ += taken;
  written_ += static_cast<uint32_t>(taken);
  return sample_next_ == sample_count_;
}

void Player::note_progress(uint32_t now_ms) {
  const size_t queued = speaker_rate_ != 0 ? speaker_.queued() : 0;
  const uint32_t heard = queued < written_ ? written_ - static_cast<uint32_t>(queued) : 0;
  if (heard == heard_) return;
  heard_ = heard;
  progress_at_ = now_ms;
  buffer_.heard(heard_);
}

}  // namespace voice

#include "voice_core/downlink.h"

#include <string.h>

namespace voice {
namespace {

// Where a frame before the next one expected counts from: half of all numbers.
constexpr uint16_t behind = 0x8000;
constexpr uint16_t history_bits = 32;

constexpr size_t shortest_tail_bytes = static_cast<size_t>(config::shortest_tail_ms) * config::reply_bitrate_kbps / 8;

}  // namespace

void Downlink::expect(uint16_t turn) { open(turn); }

void Downlink::open(uint16_t turn) {
  turn_ = turn;
  next_seq_ = 0;
  history_ = 0;
  held_count_ = 0;
  held_size_ = 0;
  end_came_ = false;
  missing_in_tail_ = false;
  done_ = false;
  chunks_ = 0;
  buffer_.clear();
}

void Downlink::close(uint32_t now_ms) {
  if (is_gateway_turn(turn_)) remember_closed(turn_, now_ms);
  open(0);
}

Received Downlink::receive(const uint8_t* payload, size_t size, bool may_open, uint32_t now_ms) {
  Frame frame;
  const Verdict verdict = decode_frame(payload, size, frame);
  if (verdict == Verdict::NotAFrame) {
    ++counters_.messages_unframed;
    return Received::Nothing;
  }
  if (verdict == Verdict::BadFrame || frame.codec != Codec::Mp3) {
    ++counters_.frames_bad;
    return Received::Nothing;
  }
  if (frame.turn == turn_) {
    ++counters_.frames_received;
    if (frame.has(flag::cancel)) return Received::Cancelled;
    place(frame, now_ms);
    return Received::Audio;
  }
  if (!may_open || !opens(frame)) {
    ++counters_.frames_stale;
    return Received::Nothing;
  }
  close(now_ms);
  open(frame.turn);
  ++counters_.frames_received;
  place(frame, now_ms);
  return Received::Opened;
}

// START begins a turn; so does a frame that may have overtaken its START.
bool Downlink::opens(const Frame& frame) const {
  return is_gateway_turn(frame.turn) && !frame.has(flag::cancel) && !was_closed(frame.turn) &&
         (frame.has(flag::start) || frame.seq < config::reorder_frames);
}

void Downlink::done(uint16_t chunks, uint32_t now_ms) {
  done_ = true;
  done_at_ = now_ms;
  chunks_ = chunks;
}

void Downlink::tick(uint32_t now_ms) {
  while (closed_count_ > 0 && now_ms - closed_[0].at >= config::closed_turn_ms) {
    --closed_count_;
    memmove(closed_, closed_ + 1, closed_count_ * sizeof(Closed));
  }
  if (turn_ == 0 || ended()) return;
  if (held_count_ > 0) {
    if (now_ms - held_since_ >= config::reorder_wait_ms) skip_to_held(now_ms);
  } else if (done_ && now_ms - done_at_ >= config::reorder_wait_ms) {
    if (next_seq_ < chunks_) skip_to(chunks_);
    buffer_.end();
  }
}

void Downlink::remember_closed(uint16_t turn, uint32_t now_ms) {
  if (closed_count_ == closed_max) {
    --closed_count_;
    memmove(closed_, closed_ + 1, closed_count_ * sizeof(Closed));
  }
  closed_[closed_count_++] = {turn, now_ms};
}

bool Downlink::was_closed(uint16_t turn) const {
  for (size_t i = 0; i < closed_count_; ++i) {
    if (closed_[i].turn == turn) return true;
  }
  return false;
}

void Downlink::place(const Frame& frame, uint32_t now_ms) {
  if (done_) done_at_ = now_ms;
  if (ended() || ahead(frame.seq) >= behind) {
    note_behind(frame.seq);
    return;
  }
  // Each round gives up what is missing before the first frame that is there, until this one can be kept.
  while (ahead(frame.seq) > 0 && !hold(frame, now_ms)) {
    if (held_count_ > 0 && ahead(held_[first_held()].seq) < ahead(frame.seq)) {
      skip_to_held(now_ms);
      if (ended()) return;
    } else {
      skip_to(frame.seq);
    }
  }
  if (ahead(frame.seq) > 0) return;
  take(frame.seq, frame.flags, frame.audio, frame.audio_size);
  drain_held(now_ms);
}

void Downlink::note_behind(uint16_t seq) {
  const uint16_t back = static_cast<uint16_t>(next_seq_ - seq);
  const bool given_up = back >= 1 && back <= history_bits && (history_ >> (back - 1) & 1) == 0;
  ++(given_up ? counters_.frames_late : counters_.frames_duplicate);
}

// Keeps a frame until those before it have come. False: there is no room.
bool Downlink::hold(const Frame& frame, uint32_t now_ms) {
  for (size_t i = 0; i < held_count_; ++i) {
    if (held_[i].seq != frame.seq) continue;
    ++counters_.frames_duplicate;
    return true;
  }
  if (held_count_ == config::reorder_frames || frame.audio_size > config::reorder_bytes - held_size_) return false;
  if (held_count_ == 0) held_since_ = now_ms;
  if (frame.audio_size > 0) memcpy(held_bytes_ + held_size_, frame.audio, frame.audio_size);
  held_size_ += frame.audio_size;
  held_[held_count_++] = {frame.seq, frame.flags, static_cast<uint16_t>(frame.audio_size)};
  return true;
}

void Downlink::take(uint16_t seq, uint8_t flags, const uint8_t* audio, size_t size) {
  if (!buffer_.append(seq, audio, size)) {
    ++counters_.frames_overflowed;
    note_missing();
  } else if (missing_in_tail_) {
    after_missing_ += size;
    missing_in_tail_ = after_missing_ < shortest_tail_bytes;
  }
  history_ = history_ << 1 | 1;
  ++next_seq_;
  if ((flags & flag::end) == 0) return;
  buffer_.end();
  end_came_ = true;
  held_count_ = 0;
  held_size_ = 0;
}

// Takes the kept frames that are next.
void Downlink::drain_held(uint32_t now_ms) {
  while (held_count_ > 0) {
    const size_t index = first_held();
    const Held held = held_[index];
    if (held.seq != next_seq_) break;
    size_t offset = 0;
    for (size_t i = 0; i < index; ++i) offset += held_[i].size;
    --held_count_;
    memmove(held_ + index, held_ + index + 1, (held_count_ - index) * sizeof(Held));
    // Nothing is appended to held_bytes_ meanwhile, so the audio can be closed up after it has been taken.
    const size_t after = offset + held.size;
    const size_t rest = held_size_ - after;
    held_size_ -= held.size;
    take(held.seq, held.flags, held_bytes_ + offset, held.size);
    memmove(held_bytes_ + offset, held_bytes_ + after, rest);
    // What is missing now has been missed since now only.
    held_since_ = now_ms;
  }
}

void Downlink::note_missing() {
  missing_in_tail_ = true;
  after_missing_ = 0;
}

void Downlink::skip_to(uint16_t seq) {
  const uint16_t missing = ahead(seq);
  counters_.frames_lost += missing;
  note_missing();
  history_ = missing < history_bits ? history_ << missing : 0;
  next_seq_ = seq;
}

void Downlink::skip_to_held(uint32_t now_ms) {
  skip_to(held_[first_held()].seq);
  drain_held(now_ms);
}

size_t Downlink::first_held() const {
  size_t first = 0;
  for (size_t i = 1; i < held_count_; ++i) {
    if (ahead(held_[i].seq) < ahead(held_[first].seq)) first = i;
  }
  return first;
}

}  // namespace voice

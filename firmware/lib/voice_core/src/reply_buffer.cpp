#include "voice_core/reply_buffer.h"

namespace voice {

void ReplyBuffer::clear() {
  bytes_.clear();
  first_mark_ = 0;
  mark_count_ = 0;
  appended_ = 0;
  heard_seq_ = 0;
  any_heard_ = false;
  ended_ = false;
}

bool ReplyBuffer::append(uint16_t seq, const uint8_t* audio, size_t size) {
  if (size > bytes_.free()) return false;
  if (size == 0) return true;
  bytes_.write(audio, size);
  appended_ += static_cast<uint32_t>(size);
  if (mark_count_ < marks_max) ++mark_count_;
  mark(mark_count_ - 1) = {seq, false, appended_, 0};
  return true;
}

void ReplyBuffer::decoded(uint32_t bytes, uint32_t samples) {
  for (size_t i = 0; i < mark_count_; ++i) {
    Mark& each = mark(i);
    if (each.decoded) continue;
    if (each.bytes > bytes) return;
    each.decoded = true;
    each.samples = samples;
  }
}

void ReplyBuffer::heard(uint32_t samples) {
  while (mark_count_ > 0 && mark(0).decoded && mark(0).samples <= samples) pop_mark();
}

void ReplyBuffer::heard_all() {
  while (mark_count_ > 0) pop_mark();
}

void ReplyBuffer::pop_mark() {
  heard_seq_ = mark(0).seq;
  any_heard_ = true;
  first_mark_ = (first_mark_ + 1) % marks_max;
  --mark_count_;
}

}  // namespace voice

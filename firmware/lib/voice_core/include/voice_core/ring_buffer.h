// A first-in first-out buffer of fixed size. Not for two tasks at once: the core runs in one.
#ifndef VOICE_CORE_RING_BUFFER_H
#define VOICE_CORE_RING_BUFFER_H

#include <stddef.h>
#include <string.h>

namespace voice {

// Holds up to N items of a plain type T.
template <typename T, size_t N>
class RingBuffer {
  static_assert(N > 0, "a ring buffer holds something");

 public:
  static constexpr size_t capacity() { return N; }
  size_t size() const { return size_; }
  size_t free() const { return N - size_; }
  bool empty() const { return size_ == 0; }

  // Appends what fits of `count` items; returns how many.
  size_t write(const T* items, size_t count) {
    count = smaller(count, free());
    const size_t end = wrap(begin_ + size_);
    const size_t first = smaller(count, N - end);
    copy(items_ + end, items, first);
    copy(items_, items + first, count - first);
    size_ += count;
    return count;
  }

  // Takes up to `count` of the oldest items; returns how many.
  size_t read(T* items, size_t count) {
    count = peek(items, count);
    return discard(count);
  }

  // Copies up to `count` of the oldest items and leaves them; returns how many.
  size_t peek(T* items, size_t count) const {
    count = smaller(count, size_);
    const size_t first = smaller(count, N - begin_);
    copy(items, items_ + begin_, first);
    copy(items + first, items_, count - first);
    return count;
  }

  // The oldest items in place: returns where they begin and says in `count` how many lie there in one piece, which is
  // all of them unless they go round the end of the buffer.
  const T* contiguous(size_t& count) const {
    count = smaller(size_, N - begin_);
    return items_ + begin_;
  }

  // Drops up to `count` of the oldest items; returns how many.
  size_t discard(size_t count) {
    count = smaller(count, size_);
    begin_ = wrap(begin_ + count);
    size_ -= count;
    return count;
  }

  void clear() {
    begin_ = 0;
    size_ = 0;
  }

 private:
  static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }
  static size_t wrap(size_t position) { return position < N ? position : position - N; }
  static void copy(T* to, const T* from, size_t count) {
    // memcpy of nothing is undefined where a pointer is null.
    if (count > 0) memcpy(to, from, count * sizeof(T));
  }

  T items_[N];
  size_t begin_ = 0;
  size_t size_ = 0;
};

}  // namespace voice

#endif

// The MP3 of one reply between the downlink, which writes it, and the player, which reads it; and how far it was heard.
#ifndef VOICE_CORE_REPLY_BUFFER_H
#define VOICE_CORE_REPLY_BUFFER_H

#include <stddef.h>
#include <stdint.h>

#include "voice_core/config.h"
#include "voice_core/ring_buffer.h"

namespace voice {

class ReplyBuffer {
 public:
  // Another reply begins: nothing is left of the last.
  void clear();

  // Appends the audio of frame `seq`, whole or not at all. False: there is no room for it.
  bool append(uint16_t seq, const uint8_t* audio, size_t size);
  // Nothing more comes.
  void end() { ended_ = true; }
  bool ended() const { return ended_; }

  // Bytes that wait to be read.
  size_t size() const { return bytes_.size(); }
  size_t free() const { return bytes_.free(); }
  size_t read(uint8_t* out, size_t capacity) { return bytes_.read(out, capacity); }

  // Told by the player: the decoder is done with the first `bytes` of the reply, and that made the first `samples`.
  // Only a call that brought samples counts: a decoder may have taken in bytes that it has not decoded yet.
  void decoded(uint32_t bytes, uint32_t samples);
  // The first `samples` have been heard.
  void heard(uint32_t samples);
  // All of the reply has been heard, as far as it could be decoded.
  void heard_all();

  // Whether a frame has been heard to its end, and which was the last.
  bool any_heard() const { return any_heard_; }
  uint16_t heard_seq() const { return heard_seq_; }

 private:
  // Where a frame's audio ends: in bytes, and, once decoded, in samples, both from the beginning of the reply.
  struct Mark {
    uint16_t seq;
    bool decoded;
    uint32_t bytes;
    uint32_t samples;
  };

  // Frames held and not heard. With more of them than this, the newest share a mark: what is reported then comes
  // later than it was heard, never sooner.
  static constexpr size_t marks_max = 32;

  Mark& mark(size_t index) { return marks_[(first_mark_ + index) % marks_max]; }
  void pop_mark();

  RingBuffer<uint8_t, config::playback_bytes> bytes_;
  Mark marks_[marks_max];
  size_t first_mark_ = 0;
  size_t mark_count_ = 0;
  uint32_t appended_ = 0;
  uint16_t heard_seq_ = 0;
  bool any_heard_ = false;
  bool ended_ = false;
};

}  // namespace voice

#endif

// Decides which messages on `out` are heard: by their turn, then in the order of their numbers.
#ifndef VOICE_CORE_DOWNLINK_H
#define VOICE_CORE_DOWNLINK_H

#include <stddef.h>
#include <stdint.h>

#include "voice_core/config.h"
#include "voice_core/counters.h"
#include "voice_core/frame.h"
#include "voice_core/reply_buffer.h"

namespace voice {

// What a message on `out` did.
enum class Received : uint8_t {
  Nothing,    // it is not heard, and counted
  Audio,      // a frame of the open turn
  Opened,     // the first of a turn that the gateway began; what was open before is closed
  Cancelled,  // the open turn is over: silence now
};

// At most one turn is open: the device's own from expect() on, or one that the gateway began. Frames of any other are
// stale, whatever they say: that is how a late reply is never heard.
//
// One publisher at QoS 0 over TCP keeps the order, so what is out of order here is rare and the store for it small:
// frames wait for a missing one until config::reorder_wait_ms or until the store is full; then it is lost.
//
// Messages that are no frames (bare MP3) are counted and not played: they do not say whose answer they are. The
// gateway sends them only to a device that has never sent it a frame or a `hello`.
class Downlink {
 public:
  Downlink(ReplyBuffer& buffer, Counters& counters) : buffer_(buffer), counters_(counters) {}

  // The device's own turn begins, and its reply may come.
  void expect(uint16_t turn);
  // The open turn is over; what comes for it is stale from now on.
  void close(uint32_t now_ms);

  // Takes a message; `may_open` allows the gateway to begin a turn of its own now.
  Received receive(const uint8_t* payload, size_t size, bool may_open, uint32_t now_ms);
  // The gateway has said that the open turn is done: what has not come soon will not. `chunks` frames of audio were
  // sent; 0: not said.
  void done(uint16_t chunks, uint32_t now_ms);
  // Gives up what has been missing for too long.
  void tick(uint32_t now_ms);

  // The open turn; 0 for none.
  uint16_t turn() const { return turn_; }
  // Whether nothing more comes of it.
  bool ended() const { return buffer_.ended(); }
  // Whether the last of its frames came; without it something after the last that came may be missing.
  bool end_came() const { return end_came_; }
  // Whether the reply, as far as it has come, breaks off: of its last config::shortest_tail_ms something never came or
  // found no room. What is missing before that is a hole, and not meant.
  bool tail_lost() const { return missing_in_tail_; }

 private:
  // A frame that came before one that is missing.
  struct Held {
    uint16_t seq;
    uint8_t flags;
    uint16_t size;
  };
  // A turn of the gateway's that is over.
  struct Closed {
    uint16_t turn;
    uint32_t at;
  };
  static constexpr size_t closed_max = 8;

  bool opens(const Frame& frame) const;
  void open(uint16_t turn);
  void remember_closed(uint16_t turn, uint32_t now_ms);
  bool was_closed(uint16_t turn) const;
  void place(const Frame& frame, uint32_t now_ms);
  void note_behind(uint16_t seq);
  bool hold(const Frame& frame, uint32_t now_ms);
  void take(uint16_t seq, uint8_t flags, const uint8_t* audio, size_t size);
  void drain_held(uint32_t now_ms);
  void note_missing();
  void skip_to(uint16_t seq);
  void skip_to_held(uint32_t now_ms);
  uint16_t ahead(uint16_t seq) const { return static_cast<uint16_t>(seq - next_seq_); }
  size_t first_held() const;

  ReplyBuffer& buffer_;
  Counters& counters_;
  uint16_t turn_ = 0;
  uint16_t next_seq_ = 0;
  uint32_t history_ = 0;  // bit i: frame next_seq_ - 1 - i was taken
  Held held_[config::reorder_frames];
  uint8_t held_bytes_[config::reorder_bytes];  // the audio of held_, one after the other
  size_t held_count_ = 0;
  size_t held_size_ = 0;
  uint32_t held_since_ = 0;
  bool end_came_ = false;
  bool missing_in_tail_ = false;
  size_t after_missing_ = 0;  // bytes of audio taken since, while missing_in_tail_
  bool done_ = false;
  uint32_t done_at_ = 0;
  uint16_t chunks_ = 0;
  Closed closed_[closed_max];
  size_t closed_count_ = 0;
};

}  // namespace voice

#endif

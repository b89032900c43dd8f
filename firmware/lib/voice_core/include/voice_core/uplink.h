// Turns an utterance's samples into frames and publishes them, in order.
#ifndef VOICE_CORE_UPLINK_H
#define VOICE_CORE_UPLINK_H

#include <stddef.h>
#include <stdint.h>

#include "voice_core/adpcm.h"
#include "voice_core/config.h"
#include "voice_core/counters.h"
#include "voice_core/frame.h"
#include "voice_core/ports.h"
#include "voice_core/ring_buffer.h"
#include "voice_core/topics.h"

namespace voice {

// Audio is coded as it comes and kept, coded, until the link takes it. When config::uplink_bytes are full, what is
// recorded then is dropped: it is counted and leaves a gap in `seq`, which the gateway fills with silence; the
// beginning of the utterance, which carries START, is what must not be lost.
class Uplink {
 public:
  Uplink(Link& link, const Topics& topics, Counters& counters) : link_(link), topics_(topics), counters_(counters) {}

  // Codec::Pcm or Codec::Adpcm; before the first utterance.
  void set_codec(Codec codec) { codec_ = codec; }
  // Bytes of the largest frame, its header included.
  static size_t largest_message(Codec codec);

  // Keeps the last config::pre_roll_ms of what is fed, for an utterance that may begin.
  void arm();

  // An utterance begins: with what was kept if armed, else with nothing.
  void begin(uint16_t turn, uint32_t now_ms);
  void feed(const int16_t* samples, size_t count);
  // The utterance is over; its last frame carries END.
  void end();
  // Publishes what waits, until the link refuses.
  void pump(uint32_t now_ms);
  // Forgets the utterance or what was kept; nothing is published.
  void drop();

  // Publishes CANCEL for `turn`. False: the link refused.
  bool publish_cancel(uint16_t turn);

  uint16_t turn() const { return turn_; }
  // Whether the gateway may know of the utterance.
  bool any_sent() const { return any_sent_; }
  // Whether everything up to END has been published, or there is nothing to publish.
  bool finished() const { return !active_ || (ending_ && end_sent_); }
  // Milliseconds since the link last took a frame (or the utterance began), 0 when nothing waits for it.
  uint32_t stuck_ms(uint32_t now_ms) const;

 private:
  static constexpr size_t chunk_bytes_max = adpcm_block_size(config::adpcm_chunk_samples) >
                                                    2 * config::pcm_chunk_samples
                                                ? adpcm_block_size(config::adpcm_chunk_samples)
                                                : 2 * config::pcm_chunk_samples;
  static constexpr size_t chunk_samples_max =
      config::adpcm_chunk_samples > config::pcm_chunk_samples ? config::adpcm_chunk_samples : config::pcm_chunk_samples;
  static constexpr size_t blocks_max = 32;

  // A coded chunk that waits in bytes_.
  struct Block {
    uint16_t seq;
    uint16_t size;
  };

  static size_t chunk_samples(Codec codec);
  size_t chunk_samples() const { return chunk_samples(codec_); }
  void close_chunk();
  void trim_pre_roll();
  size_t encode(uint8_t* out);
  bool publish(uint16_t seq, uint8_t flags, size_t audio_size);

  Link& link_;
  const Topics& topics_;
  Counters& counters_;
  AdpcmEncoder encoder_;
  Codec codec_ = Codec::Adpcm;
  RingBuffer<uint8_t, config::uplink_bytes> bytes_;
  RingBuffer<Block, blocks_max> blocks_;
  int16_t samples_[chunk_samples_max];
  size_t filled_ = 0;
  uint8_t message_[frame_header_size + chunk_bytes_max];
  uint32_t taken_at_ = 0;
  uint16_t turn_ = 0;
  uint16_t next_seq_ = 0;
  bool armed_ = false;
  bool active_ = false;
  bool ending_ = false;
  bool end_sent_ = false;
  bool any_sent_ = false;
};

}  // namespace voice

#endif

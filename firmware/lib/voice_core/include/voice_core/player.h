// Plays a reply while it arrives, or a tone that the device makes itself.
#ifndef VOICE_CORE_PLAYER_H
#define VOICE_CORE_PLAYER_H

#include <stddef.h>
#include <stdint.h>

#include "voice_core/config.h"
#include "voice_core/counters.h"
#include "voice_core/messages.h"
#include "voice_core/ports.h"
#include "voice_core/reply_buffer.h"
#include "voice_core/tone.h"

namespace voice {

class Player {
 public:
  Player(ReplyBuffer& buffer, Mp3Decoder& decoder, Speaker& speaker, Counters& counters)
      : buffer_(buffer), decoder_(decoder), speaker_(speaker), counters_(counters) {}

  // A reply begins, whose audio is (or will be) in the buffer, and is played at `volume` percent of its amplitude;
  // whatever sounded before stops.
  void begin(uint8_t volume, uint32_t now_ms);
  // A tone takes the place of whatever sounded before.
  void play_tone(ToneKind kind, uint32_t now_ms);
  // Silence now.
  void stop();

  // Decodes and hands to the speaker what it has room for, at most decodes_per_tick MP3 frames.
  void tick(uint32_t now_ms);

  // Whether a reply or a tone sounds, or is about to.
  bool busy() const { return mode_ != Mode::Silent; }
  // Whether something is there to be heard now; a reply that ran dry is not.
  bool sounding() const { return mode_ == Mode::Playing || mode_ == Mode::Tone; }
  // Whether the reply begun last has been heard to its end, and whether nothing of its audio could be decoded.
  bool reply_heard() const { return reply_heard_; }
  bool undecodable() const { return reply_heard_ && fed_ > 0 && decoded_ == 0; }
  // When something of the reply (or of the tone) was last heard, or it began.
  uint32_t progress_at() const { return progress_at_; }

 private:
  enum class Mode : uint8_t {
    Silent,
    Buffering,  // collects config::pre_buffer_ms before the first sound, and again after running dry
    Playing,
    Tone,
  };

  // The longest MP3 frame (MPEG-1 layer III, 320 kbit/s at 32 kHz) has 1,441 bytes; a decoder may want to see the
  // header after it.
  static constexpr size_t input_bytes = 2048;
  static constexpr size_t decodes_per_tick = 4;
  static constexpr size_t pre_buffer_bytes =
      static_cast<size_t>(config::pre_buffer_ms) * config::reply_bitrate_kbps / 8;

  void tick_reply(uint32_t now_ms);
  void tick_tone(uint32_t now_ms);
  bool decode();
  bool flush_samples();
  void note_progress(uint32_t now_ms);
  void run_dry();

  ReplyBuffer& buffer_;
  Mp3Decoder& decoder_;
  Speaker& speaker_;
  Counters& counters_;
  Tone tone_;
  Mode mode_ = Mode::Silent;
  bool reply_heard_ = false;
  uint32_t progress_at_ = 0;
  uint8_t input_[input_bytes];
  size_t input_size_ = 0;
  uint32_t fed_ = 0;       // bytes of the reply taken from the buffer
  uint32_t consumed_ = 0;  // of these, the decoder is done with
  int16_t samples_[config::decoder_samples];
  size_t sample_count_ = 0;
  size_t sample_next_ = 0;
  uint32_t sample_rate_ = 0;  // of samples_
  uint8_t volume_ = full_volume;
  uint32_t speaker_rate_ = 0;  // 0: it is stopped
  uint32_t decoded_ = 0;       // samples of the reply
  uint32_t written_ = 0;       // of these, given to the speaker
  uint32_t heard_ = 0;         // of these, heard
};

}  // namespace voice

#endif

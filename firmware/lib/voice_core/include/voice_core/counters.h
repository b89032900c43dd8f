// What happened, counted: for the serial console, for tests, and for whoever asks why a reply stuttered.
#ifndef VOICE_CORE_COUNTERS_H
#define VOICE_CORE_COUNTERS_H

#include <stdint.h>

#include "voice_core/state.h"

namespace voice {

// Each counts since begin() and wraps.
struct Counters {
  // Uplink.
  uint32_t utterances = 0;         // begun
  uint32_t short_presses = 0;      // released too soon to say anything
  uint32_t frames_sent = 0;        // with audio or END
  uint32_t frames_dropped = 0;     // recorded, and not kept because the link refused too long
  uint32_t publish_refused = 0;    // calls of Link::publish that said no
  uint32_t utterances_lost = 0;    // given up because the link did not come back
  uint32_t microphone_failed = 0;  // starts that the hardware refused

  // Downlink.
  uint32_t replies = 0;             // whose first frame came
  uint32_t announcements = 0;       // of these, turns that the gateway began
  uint32_t frames_received = 0;     // of a turn that was open
  uint32_t frames_lost = 0;         // never came, or came too late
  uint32_t frames_late = 0;         // came after they had been given up
  uint32_t frames_duplicate = 0;    // came again
  uint32_t frames_stale = 0;        // of a turn that is not open
  uint32_t frames_overflowed = 0;   // dropped because the gateway sent more than the buffer holds
  uint32_t frames_bad = 0;          // frames that cannot be used
  uint32_t messages_unframed = 0;   // on `out`, and no frames
  uint32_t messages_misplaced = 0;  // on a topic that is not the device's
  uint32_t events_bad = 0;          // events and states that cannot be read
  uint32_t errors_told = 0;         // `error` events

  // Playing.
  uint32_t underruns = 0;          // silence within a reply because nothing was there to play
  uint32_t speaker_starved = 0;    // times that the loop came back too late to fill the speaker
  uint32_t replies_heard = 0;      // to their end
  uint32_t undecodable_bytes = 0;  // of replies that the decoder made nothing of
  uint32_t replies_aborted = 0;    // stopped at the button, awaited ones included
  uint32_t replies_cancelled = 0;  // stopped by the gateway
  uint32_t replies_missing = 0;    // awaited, and nothing came
  uint32_t replies_stalled = 0;    // begun, and stopped coming before their end
  uint32_t tones = 0;              // error tones

  // Moves that the state table does not have, by the state and the move.
  uint32_t refused_moves[state_count][move_count] = {};

  uint32_t refused(State state, Move move) const {
    return refused_moves[static_cast<unsigned>(state)][static_cast<unsigned>(move)];
  }
};

}  // namespace voice

#endif

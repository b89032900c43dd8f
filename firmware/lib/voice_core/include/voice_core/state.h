// The states of a device, and the moves between them. The table is in state.cpp; whatever it lacks is refused.
#ifndef VOICE_CORE_STATE_H
#define VOICE_CORE_STATE_H

#include <stdint.h>

namespace voice {

enum class State : uint8_t {
  Offline,    // no link, and nothing under way
  Idle,       // waits for the button, for speech, or for an announcement
  Listening,  // records an utterance; a link lost meanwhile may still come back
  Waiting,    // the utterance is over, its reply has not begun
  Speaking,   // plays a reply or an announcement; without a link, what it holds of it
};
constexpr unsigned state_count = 5;

enum class Move : uint8_t {
  Connect,     // the link came up
  Disconnect,  // the link went down
  Listen,      // an utterance begins
  Await,       // it is over
  Speak,       // a reply begins, or another takes its place
  Finish,      // the turn is over, however it ended
};
constexpr unsigned move_count = 6;

// For logs and the console: "idle", "listen".
const char* name(State state);
const char* name(Move move);

// The state that `move` leads to from `from`. False: there is no such move, and `to` is left as it was.
bool next_state(State from, Move move, State& to);

}  // namespace voice

#endif

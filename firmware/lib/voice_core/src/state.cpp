#include "voice_core/state.h"

namespace voice {
namespace {

// No state, as an entry of the table: there is no such move.
constexpr uint8_t none = 0xFF;
constexpr uint8_t offline = static_cast<uint8_t>(State::Offline);
constexpr uint8_t idle = static_cast<uint8_t>(State::Idle);
constexpr uint8_t listening = static_cast<uint8_t>(State::Listening);
constexpr uint8_t waiting = static_cast<uint8_t>(State::Waiting);
constexpr uint8_t speaking = static_cast<uint8_t>(State::Speaking);

// A link lost in the middle of a turn moves nothing: the turn has time limits of its own, and ends in Idle, from where
// Disconnect leads on. An utterance begins in Idle only: what is awaited or heard is finished first.
constexpr uint8_t table[state_count][move_count] = {
    //               Connect  Disconnect  Listen     Await    Speak     Finish
    /* Offline   */ {idle, none, none, none, none, none},
    /* Idle      */ {none, offline, listening, none, speaking, none},
    /* Listening */ {none, none, none, waiting, speaking, idle},
    /* Waiting   */ {none, none, none, none, speaking, idle},
    /* Speaking  */ {none, none, none, none, speaking, idle},
};

constexpr const char* state_names[state_count] = {"offline", "idle", "listening", "waiting", "speaking"};
constexpr const char* move_names[move_count] = {"connect", "disconnect", "listen", "await", "speak", "finish"};

}  // namespace

const char* name(State state) { return state_names[static_cast<unsigned>(state)]; }

const char* name(Move move) { return move_names[static_cast<unsigned>(move)]; }

bool next_state(State from, Move move, State& to) {
  const uint8_t found = table[static_cast<unsigned>(from)][static_cast<unsigned>(move)];
  if (found == none) return false;
  to = static_cast<State>(found);
  return true;
}

}  // namespace voice

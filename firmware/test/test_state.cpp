#include <doctest/doctest.h>

#include <string>

#include "voice_core/state.h"

using namespace voice;

TEST_CASE("state: the moves that there are, and no others") {
  struct Row {
    State from;
    Move move;
    State to;
  };
  const Row rows[] = {
      {State::Offline, Move::Connect, State::Idle},    {State::Idle, Move::Disconnect, State::Offline},
      {State::Idle, Move::Listen, State::Listening},   {State::Idle, Move::Speak, State::Speaking},
      {State::Listening, Move::Await, State::Waiting}, {State::Listening, Move::Speak, State::Speaking},
      {State::Listening, Move::Finish, State::Idle},   {State::Waiting, Move::Speak, State::Speaking},
      {State::Waiting, Move::Finish, State::Idle},     {State::Speaking, Move::Speak, State::Speaking},
      {State::Speaking, Move::Finish, State::Idle},
  };
  for (unsigned s = 0; s < state_count; ++s) {
    for (unsigned m = 0; m < move_count; ++m) {
      const State from = static_cast<State>(s);
      const Move move = static_cast<Move>(m);
      const Row* expected = nullptr;
      for (const Row& row : rows) {
        if (row.from == from && row.move == move) expected = &row;
      }
      CAPTURE(name(from));
      CAPTURE(name(move));
      State to = State::Waiting;
      CHECK(next_state(from, move, to) == (expected != nullptr));
      CHECK(to == (expected != nullptr ? expected->to : State::Waiting));
    }
  }
}

TEST_CASE("state: each has a name") {
  CHECK(std::string(name(State::Offline)) == "offline");
  CHECK(std::string(name(State::Speaking)) == "speaking");
  CHECK(std::string(name(Move::Connect)) == "connect");
  CHECK(std::string(name(Move::Finish)) == "finish");
}

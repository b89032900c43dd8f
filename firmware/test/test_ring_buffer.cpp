#include <doctest/doctest.h>

#include <deque>
#include <string>
#include <vector>

#include "random.h"
#include "voice_core/ring_buffer.h"

using namespace voice;

TEST_CASE("ring buffer: does what an endless queue with a limit does, over thousands of random steps") {
  Random random(1);
  RingBuffer<uint16_t, 7> ring;
  std::deque<uint16_t> model;
  uint16_t next = 0;
  for (int step = 0; step < 50000; step++) {
    const size_t count = random.below(10);
    const size_t expected = count < model.size() ? count : model.size();
    std::vector<uint16_t> items(count);
    switch (random.below(6)) {
      case 0:
      case 1: {
        for (uint16_t& item : items) item = next++;
        const size_t written = ring.write(items.data(), count);
        REQUIRE(written == (count < 7 - model.size() ? count : 7 - model.size()));
        model.insert(model.end(), items.begin(), items.begin() + static_cast<std::ptrdiff_t>(written));
        break;
      }
      case 2:
        REQUIRE(ring.read(items.data(), count) == expected);
        for (size_t i = 0; i < expected; i++) {
          REQUIRE(items[i] == model.front());
          model.pop_front();
        }
        break;
      case 3:
        REQUIRE(ring.peek(items.data(), count) == expected);
        for (size_t i = 0; i < expected; i++) REQUIRE(items[i] == model[i]);
        break;
      case 4:
        REQUIRE(ring.discard(count) == expected);
        model.erase(model.begin(), model.begin() + static_cast<std::ptrdiff_t>(expected));
        break;
      default:
        if (random.below(20) == 0) {
          ring.clear();
          model.clear();
        }
    }
    REQUIRE(ring.size() == model.size());
    REQUIRE(ring.free() == 7 - model.size());
    REQUIRE(ring.empty() == model.empty());
    size_t in_one_piece;
    const uint16_t* const items_in_place = ring.contiguous(in_one_piece);
    REQUIRE((in_one_piece > 0) == !model.empty());
    for (size_t i = 0; i < in_one_piece; i++) REQUIRE(items_in_place[i] == model[i]);
  }
}

TEST_CASE("ring buffer: all of it lies in at most two pieces") {
  RingBuffer<char, 5> ring;
  ring.write("abcde", 5);
  ring.discard(3);
  ring.write("fg", 2);
  size_t count;
  const char* piece = ring.contiguous(count);
  CHECK(std::string(piece, count) == "de");
  ring.discard(count);
  piece = ring.contiguous(count);
  CHECK(std::string(piece, count) == "fg");
}

TEST_CASE("ring buffer: nothing to copy needs no memory") {
  RingBuffer<char, 5> ring;
  CHECK(ring.write(nullptr, 0) == 0);
  CHECK(ring.read(nullptr, 0) == 0);
  CHECK(ring.peek(nullptr, 0) == 0);
}

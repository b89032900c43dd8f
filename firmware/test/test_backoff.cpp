#include <doctest/doctest.h>

#include <set>

#include "random.h"
#include "voice_core/backoff.h"

using namespace voice;

TEST_CASE("backoff: doubles up to the longest wait, each time between half of the step and the whole") {
  for (uint32_t seed = 0; seed < 500; seed++) {
    Backoff backoff(500, 30000, seed);
    for (const uint32_t step : {500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000}) {
      const uint32_t wait = backoff.next();
      CAPTURE(step);
      REQUIRE(wait >= step / 2);
      REQUIRE(wait <= step);
    }
  }
}

TEST_CASE("backoff: begins again with a short wait") {
  Backoff backoff(500, 30000, 7);
  for (int i = 0; i < 10; i++) backoff.next();
  backoff.reset();
  CHECK(backoff.next() <= 500);
}

TEST_CASE("backoff: devices that fail at the same moment do not come back at the same moment") {
  // Neighbouring seeds, as the MACs of one batch are.
  std::set<uint32_t> sixth_waits;
  for (uint32_t seed = 0x3F9E00; seed < 0x3F9E00 + 50; seed++) {
    Backoff backoff(500, 30000, seed);
    for (int i = 0; i < 5; i++) backoff.next();
    sixth_waits.insert(backoff.next() / 100);
  }
  CHECK(sixth_waits.size() > 30);
}

TEST_CASE("backoff: the whole range of waits is used") {
  Backoff backoff(1000, 1000, 3);
  bool shorter = false;
  bool longer = false;
  for (int i = 0; i < 200; i++) {
    const uint32_t wait = backoff.next();
    shorter = shorter || wait < 600;
    longer = longer || wait > 900;
  }
  CHECK(shorter);
  CHECK(longer);
}

TEST_CASE("backoff: limits at the ends of what the numbers hold") {
  Backoff one(1, 1, 0);
  Backoff largest(0xFFFFFFFF, 0xFFFFFFFF, 0);
  Backoff wide(1, 0xFFFFFFFF, 0);
  for (int i = 0; i < 100; i++) {
    CHECK(one.next() <= 1);
    CHECK(largest.next() >= 0x7FFFFFFF);
    wide.next();
  }
  CHECK(wide.next() >= 0x7FFFFFFF);
}

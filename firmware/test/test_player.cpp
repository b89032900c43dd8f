#include <doctest/doctest.h>

#include "fakes.h"
#include "random.h"
#include "voice_core/player.h"

using namespace voice;

namespace {

struct Bench {
  Counters counters;
  ReplyBuffer buffer;
  FakeDecoder decoder;
  FakeSpeaker speaker;
  Player player{buffer, decoder, speaker, counters};
  uint32_t now = 1;

  void begin() {
    buffer.clear();
    player.begin(full_volume, now);
  }
  bool add(uint16_t seq, uint16_t first, uint16_t count) {
    const Bytes audio = mp3::frames(1, first, count);
    return buffer.append(seq, audio.data(), audio.size());
  }
  void run(uint32_t ms) {
    for (uint32_t i = 0; i < ms; i += 5) {
      now += 5;
      speaker.advance(5);
      player.tick(now);
    }
  }
};

}  // namespace

TEST_CASE("player: begins when there is enough to go on, and not before") {
  Bench bench;
  bench.begin();
  // 12 frames are 288 ms.
  bench.add(0, 0, 12);
  bench.run(1000);
  CHECK(bench.speaker.heard_samples == 0);
  CHECK_FALSE(bench.player.sounding());
  bench.add(1, 12, 1);
  bench.run(10);
  CHECK(bench.player.sounding());
  bench.run(400);
  CHECK(bench.speaker.heard.size() == 13);
}

TEST_CASE("player: a short reply that is whole begins at once") {
  Bench bench;
  bench.begin();
  bench.add(0, 0, 2);
  bench.buffer.end();
  bench.run(100);
  CHECK(bench.player.reply_heard());
  CHECK(bench.speaker.heard == std::vector<mp3::Name>{{1, 0}, {1, 1}});
  CHECK_FALSE(bench.player.busy());
}

TEST_CASE("player: plays everything, in order and without a gap, however it was cut and however the decoder takes it") {
  Random random(21);
  for (const bool greedy : {true, false}) {
    Bench bench;
    bench.decoder.greedy = greedy;
    bench.begin();
    const Bytes all = mp3::frames(1, 0, 200);
    size_t at = 0;
    uint16_t seq = 0;
    while (at < all.size()) {
      const size_t size = std::min<size_t>(all.size() - at, 1 + random.below(900));
      if (bench.buffer.append(seq, all.data() + at, size)) {
        at += size;
        ++seq;
      } else {
        bench.run(5);
      }
    }
    bench.buffer.end();
    bench.run(200 * mp3::frame_ms + 300);
    REQUIRE(bench.speaker.heard.size() == 200);
    for (uint16_t i = 0; i < 200; ++i) CHECK(bench.speaker.heard[i] == mp3::Name{1, i});
    CHECK(bench.player.reply_heard());
    CHECK(bench.counters.underruns == 0);
    CHECK(bench.counters.speaker_starved == 0);
    CHECK(bench.speaker.heard_samples == 200 * mp3::frame_samples);
    CHECK(bench.buffer.heard_seq() == seq - 1);
  }
}

TEST_CASE("player: runs dry once, collects again, and goes on") {
  Bench bench;
  bench.begin();
  bench.add(0, 0, 20);
  bench.run(2000);
  CHECK(bench.speaker.heard.size() == 20);
  CHECK(bench.counters.underruns == 1);
  CHECK(bench.player.busy());
  CHECK_FALSE(bench.player.sounding());
  bench.add(1, 20, 5);
  bench.run(500);
  CHECK(bench.speaker.heard.size() == 20);
  bench.add(2, 25, 15);
  bench.buffer.end();
  bench.run(2000);
  CHECK(bench.speaker.heard.size() == 40);
  CHECK(bench.counters.underruns == 1);
  CHECK(bench.player.reply_heard());
}

TEST_CASE("player: what is said to have been heard has been, to its last sample") {
  for (const bool greedy : {true, false}) {
    Bench bench;
    bench.decoder.greedy = greedy;
    bench.begin();
    // Messages end within MP3 frames: 3 messages for each 2 frames.
    const Bytes all = mp3::frames(1, 0, 60);
    for (uint16_t seq = 0; seq < 90; ++seq) REQUIRE(bench.buffer.append(seq, all.data() + seq * 64, 64));
    bench.buffer.end();
    for (int i = 0; i < 400 && !bench.player.reply_heard(); ++i) {
      bench.run(5);
      if (!bench.buffer.any_heard()) continue;
      const size_t needed = (static_cast<size_t>(bench.buffer.heard_seq() + 1) * 64 + 95) / 96;
      REQUIRE(needed <= bench.speaker.heard.size());
      // And no more than a tick and a message behind. Of the marks only the newest are shared.
      if (!bench.player.reply_heard() && bench.speaker.heard.size() < 15) {
        CHECK(needed + 2 >= bench.speaker.heard.size());
      }
    }
    CHECK(bench.player.reply_heard());
    CHECK(bench.buffer.heard_seq() == 89);
  }
}

TEST_CASE("player: the last frame counts as heard at the end, also when nothing could be decoded of it") {
  Bench bench;
  bench.begin();
  bench.add(0, 0, 5);
  const Bytes cut_short(50, 0xA5);
  bench.buffer.append(1, cut_short.data(), cut_short.size());
  bench.buffer.end();
  bench.run(100);
  CHECK_FALSE(bench.buffer.any_heard());
  bench.run(500);
  CHECK(bench.player.reply_heard());
  CHECK(bench.buffer.heard_seq() == 1);
}

TEST_CASE("player: a reply without a sound is over at once") {
  Bench bench;
  bench.begin();
  bench.buffer.end();
  bench.run(5);
  CHECK(bench.player.reply_heard());
  CHECK_FALSE(bench.player.undecodable());
  CHECK_FALSE(bench.buffer.any_heard());
}

TEST_CASE("player: a reply that is no MP3 ends, and is told") {
  for (const bool greedy : {true, false}) {
    Bench bench;
    bench.decoder.greedy = greedy;
    bench.begin();
    Random random(22);
    const Bytes garbage(8000, 0x11);
    bench.buffer.append(0, garbage.data(), garbage.size());
    bench.buffer.end();
    bench.run(500);
    CHECK(bench.player.reply_heard());
    CHECK(bench.player.undecodable());
    CHECK(bench.counters.undecodable_bytes == 8000);
  }
}

namespace {

// Never takes anything and never makes anything of it.
class DeafDecoder : public Mp3Decoder {
 public:
  void reset() override {}
  Decoded decode(const uint8_t*, size_t, int16_t*) override { return {0, 0, 0}; }
};

}  // namespace

TEST_CASE("player: a reply is played as loud as it is to be, the next one and a tone in full") {
  Bench bench;
  const auto loudest_of_reply = [&bench](uint8_t volume) {
    bench.buffer.clear();
    bench.speaker.loudest = 0;
    bench.player.begin(volume, bench.now);
    bench.add(0, 0, 20);
    bench.buffer.end();
    bench.run(1000);
    CHECK(bench.player.reply_heard());
    return bench.speaker.loudest;
  };
  CHECK(loudest_of_reply(50) == mp3::marker / 2);
  CHECK(loudest_of_reply(0) == 0);
  bench.player.play_tone(ToneKind::Error, bench.now);
  bench.run(1000);
  CHECK(bench.speaker.loudest > config::tone_level / 2);
  CHECK(loudest_of_reply(full_volume) == mp3::marker);
}

TEST_CASE("player: a decoder that takes nothing does not hold up the end") {
  Counters counters;
  ReplyBuffer buffer;
  DeafDecoder decoder;
  FakeSpeaker speaker;
  Player player(buffer, decoder, speaker, counters);
  player.begin(full_volume, 0);
  const Bytes garbage(10000, 1);
  buffer.append(0, garbage.data(), garbage.size());
  buffer.end();
  for (uint32_t now = 0; now < 100; now += 5) player.tick(now);
  CHECK(player.reply_heard());
  CHECK(player.undecodable());
}

TEST_CASE("player: stops at once, and nothing of the old reply is in the new one") {
  Bench bench;
  bench.begin();
  bench.add(0, 0, 40);
  bench.run(200);
  REQUIRE(bench.player.sounding());
  bench.player.stop();
  CHECK(bench.speaker.queued() == 0);
  CHECK_FALSE(bench.player.busy());
  const size_t before = bench.speaker.heard.size();
  bench.run(500);
  CHECK(bench.speaker.heard.size() == before);
  bench.begin();
  bench.add(0, 100, 20);
  bench.buffer.end();
  bench.run(1000);
  REQUIRE(bench.speaker.heard.size() == before + 20);
  CHECK(bench.speaker.heard[before] == mp3::Name{1, 100});
  CHECK(bench.decoder.resets == 2);
}

TEST_CASE("player: another sample rate is played at its own, and what came before it is heard out") {
  Bench bench;
  bench.begin();
  bench.add(0, 0, 20);
  bench.run(30);
  CHECK(bench.speaker.rate == 24000);
  bench.decoder.rate = 16000;
  bench.add(1, 20, 20);
  bench.buffer.end();
  bench.run(2000);
  CHECK(bench.speaker.rate == 16000);
  CHECK_FALSE(bench.speaker.rate_changed_while_playing);
  CHECK(bench.speaker.heard.size() == 40);
}

TEST_CASE("player: a tone is heard and over; a reply takes its place") {
  Bench bench;
  bench.player.play_tone(ToneKind::Error, bench.now);
  CHECK(bench.player.sounding());
  bench.run(1500);
  CHECK_FALSE(bench.player.busy());
  CHECK(bench.speaker.tone_samples > 1000);
  bench.player.play_tone(ToneKind::Error, bench.now);
  bench.run(50);
  const uint64_t heard = bench.speaker.tone_samples;
  bench.begin();
  bench.add(0, 0, 20);
  bench.run(600);
  CHECK(bench.speaker.tone_samples == heard);
  CHECK(bench.speaker.heard.size() == 20);
}

TEST_CASE("player: a speaker that plays nothing keeps no tone for ever") {
  Bench bench;
  bench.speaker.stuck = true;
  bench.player.play_tone(ToneKind::Error, bench.now);
  bench.run(2500);
  CHECK_FALSE(bench.player.busy());
}

TEST_CASE("player: a loop that comes back too late is counted") {
  Bench bench;
  bench.begin();
  bench.add(0, 0, 60);
  bench.run(100);
  bench.speaker.advance(400);  // without a tick
  bench.now += 400;
  bench.run(5);
  CHECK(bench.counters.speaker_starved == 1);
  CHECK(bench.counters.underruns == 0);
}

#include "voice_core/node.h"

#include <string.h>

namespace voice {
namespace {

constexpr const char* indication_names[] = {"offline", "idle", "listening", "waiting", "speaking", "failed"};

// Samples read from the microphone at a time, and reads in one call: 320 ms of audio, so that a late loop catches up
// and a microphone that never runs dry does not hold up everything else.
constexpr size_t read_samples = Endpointer::frame_samples;
constexpr unsigned reads_per_tick = 16;

// A loop later than this may have lost samples: what the microphone holds is not one piece of sound any more.
constexpr uint32_t stale_audio_ms = 300;

// Of an MQTT PUBLISH: its type, a remaining length of at most 2 bytes (up to 16,383), the topic and its length.
constexpr size_t publish_overhead = 1 + 2 + 2;

}  // namespace

const char* name(Indication indication) { return indication_names[static_cast<unsigned>(indication)]; }

Node::Node(Microphone& microphone, Speaker& speaker, Mp3Decoder& decoder, Link& link)
    : microphone_(microphone),
      link_(link),
      uplink_(link, topics_, counters_),
      downlink_(buffer_, counters_),
      player_(buffer_, decoder, speaker, counters_) {}

bool Node::begin(const NodeOptions& options, uint32_t now_ms) {
  if (options.codec != Codec::Adpcm && options.codec != Codec::Pcm) return false;
  if (options.first_turn < first_device_turn || options.first_turn > last_device_turn) return false;
  if (!topics_.set(options.root, options.device_id)) return false;
  if (publish_overhead + strlen(topics_.in()) + Uplink::largest_message(options.codec) > options.max_packet) {
    return false;
  }
  Hello hello;
  hello.name = options.name;
  hello.firmware = options.firmware;
  hello.board = options.board;
  hello.language = options.language;
  hello.max_packet = options.max_packet;
  hello.buffer_ms = config::buffer_ms;
  hello.rate = config::mic_rate;
  hello.reply_rate = config::reply_rate;
  hello.reply_bitrate_kbps = config::reply_bitrate_kbps;
  // With it the gateway listens for pauses, which are of no use where a button ends what is said.
  if (options.hands_free) hello.end_of_speech_ms = config::endpoint_silence_ms;
  hello_size_ = write_hello(hello, hello_, sizeof(hello_) - hello_rssi_size);
  if (hello_size_ == 0) return false;
  uplink_.set_codec(options.codec);
  next_turn_ = options.first_turn;
  hands_free_ = options.hands_free;
  ticked_at_ = now_ms;
  ready_ = true;
  return true;
}

// --- The link --------------------------------------------------------------------------------------------------------

void Node::link_up(uint32_t now_ms, int8_t rssi) {
  if (!ready_) return;
  linked_ = true;
  online_due_ = true;
  hello_due_ = true;
  rssi_ = rssi;
  if (state_ == State::Offline) move(Move::Connect, now_ms);
  publish_due();
}

void Node::link_down(uint32_t now_ms) {
  if (!linked_) return;
  linked_ = false;
  link_lost_at_ = now_ms;
  // Unlike the end of a turn of our own, which says its number, this one would hit whatever runs by then.
  abort_due_ = false;
  // It is said again at the next connect, if it still holds.
  told_ = Told::Nothing;
  if (state_ == State::Idle) move(Move::Disconnect, now_ms);
}

void Node::receive(const char* topic, const uint8_t* payload, size_t size, uint32_t now_ms) {
  if (!ready_) return;
  if (strcmp(topic, topics_.out()) == 0) {
    receive_audio(payload, size, now_ms);
  } else if (strcmp(topic, topics_.event()) == 0) {
    receive_event(payload, size, now_ms);
  } else if (strcmp(topic, topics_.state()) == 0) {
    receive_state(payload, size, now_ms);
  } else {
    ++counters_.messages_misplaced;
  }
}

void Node::receive_audio(const uint8_t* payload, size_t size, uint32_t now_ms) {
  // While an utterance is recorded or its reply awaited, an announcement is one that the utterance has just ended.
  const bool may_open = state_ == State::Idle || state_ == State::Speaking;
  switch (downlink_.receive(payload, size, may_open, now_ms)) {
    case Received::Nothing:
      break;
    case Received::Audio:
      told_ = Told::Nothing;
      // Also while recording: the gateway has closed the utterance at a limit of its own, and answers it.
      if (state_ != State::Speaking) begin_reply(now_ms);
      break;
    case Received::Opened:
      ++counters_.announcements;
      begin_reply(now_ms);
      break;
    case Received::Cancelled:
      ++counters_.replies_cancelled;
      finish_turn(now_ms);
      break;
  }
}

void Node::receive_event(const uint8_t* payload, size_t size, uint32_t now_ms) {
  Event event;
  if (!read_event(payload, size, event)) {
    ++counters_.events_bad;
    return;
  }
  if (event.kind == EventKind::Error) ++counters_.errors_told;
  if (event.kind == EventKind::Announcement && event.started) {
    announced_turn_ = event.turn;
    announced_volume_ = event.volume;
  }
  if (event.turn == 0 || event.turn != downlink_.turn()) return;
  told_ = Told::Nothing;
  if (event.kind != EventKind::Done) return;
  outcome_ = event.outcome;
  downlink_.done(event.chunks, now_ms);
}

void Node::receive_state(const uint8_t* payload, size_t size, uint32_t now_ms) {
  told_ = Told::Nothing;
  if (size == 0) return;  // erased
  Report report;
  if (!read_report(payload, size, report)) {
    ++counters_.events_bad;
    return;
  }
  if (!report.idle || downlink_.turn() == 0) return;
  if (report.last_turn == downlink_.turn()) {
    told_ = Told::Over;
  } else if (state_ == State::Speaking || (state_ == State::Waiting && uplink_.finished())) {
    told_ = Told::Unknown;
  }
  told_outcome_ = report.last_outcome;
  told_at_ = now_ms;
}

// --- The button and the voice ----------------------------------------------------------------------------------------

void Node::press(uint32_t now_ms) {
  if (!ready_ || held_) return;
  held_ = true;
  if (state_ == State::Listening) return;  // begun by the voice; it now lasts until the release
  if (state_ == State::Waiting || state_ == State::Speaking) {
    ++counters_.replies_aborted;
    abandon_turn(now_ms);
  }
  begin_utterance(true, now_ms);
}

void Node::release(uint32_t now_ms) {
  if (!held_) return;
  held_ = false;
  if (state_ != State::Listening) return;
  if (by_button_ && now_ms - state_since_ < config::shortest_press_ms) {
    ++counters_.short_presses;
    finish_turn(now_ms);
  } else {
    end_utterance(now_ms);
  }
}

void Node::set_hands_free(bool hands_free, uint32_t now_ms) {
  hands_free_ = hands_free;
  if (!hands_free && state_ == State::Listening && !held_) end_utterance(now_ms);
}

void Node::begin_utterance(bool by_button, uint32_t now_ms) {
  if (!move(Move::Listen, now_ms)) {
    fail(now_ms);
    return;
  }
  by_button_ = by_button;
  if (by_button) {
    player_.stop();
    uplink_.drop();
    // What was recorded before the press belongs to no utterance.
    stop_microphone();
    if (!start_microphone(now_ms)) {
      finish_turn(now_ms);
      fail(now_ms);
      return;
    }
  }
  ++counters_.utterances;
  uplink_.begin(next_turn_, now_ms);
  next_turn_ = next_turn(next_turn_);
}

void Node::end_utterance(uint32_t now_ms) {
  record_rest();
  stop_microphone();
  uplink_.end();
  move(Move::Await, now_ms);
  pump_uplink(now_ms);
}

// --- Turns -----------------------------------------------------------------------------------------------------------

void Node::begin_reply(uint32_t now_ms) {
  move(Move::Speak, now_ms);
  ++counters_.replies;
  stop_microphone();
  player_.begin(downlink_.turn() == announced_turn_ ? announced_volume_ : full_volume, now_ms);
  announced_turn_ = 0;
  outcome_ = Outcome::None;
  told_ = Told::Nothing;
  cut_off_ = false;
  told_over_ = false;
  played_at_ = now_ms;
  played_any_ = false;
}

void Node::finish_turn(uint32_t now_ms) {
  uplink_.drop();
  downlink_.close(now_ms);
  player_.stop();
  stop_microphone();
  outcome_ = Outcome::None;
  told_ = Told::Nothing;
  cut_off_ = false;
  told_over_ = false;
  move(Move::Finish, now_ms);
  if (!linked_) move(Move::Disconnect, now_ms);
}

void Node::abandon_turn(uint32_t now_ms) {
  const bool announced = state_ == State::Speaking && is_gateway_turn(downlink_.turn());
  // What has been heard is what stays in the conversation.
  if (state_ == State::Speaking && linked_ && played_news()) publish_played(false, now_ms);
  if (announced) {
    abort_due_ = linked_;
  } else if (uplink_.any_sent()) {
    // Of a turn that it has never heard of, CANCEL would stop whatever the gateway says by then.
    cancel_due_ = uplink_.turn();
  }
  finish_turn(now_ms);
  publish_due();
}

void Node::fail(uint32_t now_ms) {
  failed_ = true;
  failed_at_ = now_ms;
  ++counters_.tones;
  player_.play_tone(ToneKind::Error, now_ms);
}

bool Node::move(Move move, uint32_t now_ms) {
  if (!next_state(state_, move, state_)) {
    ++counters_.refused_moves[static_cast<unsigned>(state_)][static_cast<unsigned>(move)];
    return false;
  }
  state_since_ = now_ms;
  return true;
}

Indication Node::indication() const {
  if (failed_ && (state_ == State::Idle || state_ == State::Offline)) return Indication::Failed;
  switch (state_) {
    case State::Offline:
      return Indication::Offline;
    case State::Idle:
      return Indication::Idle;
    case State::Listening:
      return Indication::Listening;
    case State::Waiting:
      return Indication::Waiting;
    case State::Speaking:
      return Indication::Speaking;
  }
  return Indication::Failed;
}

// --- Time ------------------------------------------------------------------------------------------------------------

void Node::tick(uint32_t now_ms) {
  if (!ready_) return;
  publish_due();
  tend_microphone(now_ms);
  read_microphone(now_ms);
  pump_uplink(now_ms);
  check_told(now_ms);
  downlink_.tick(now_ms);
  player_.tick(now_ms);
  check_utterance(now_ms);
  check_awaited(now_ms);
  check_reply(now_ms);
  report_played(now_ms);
  if (failed_ && now_ms - failed_at_ >= config::failed_ms) failed_ = false;
  ticked_at_ = now_ms;
}

// Nothing more comes of the open turn: it ends as if `done` had said so.
void Node::check_told(uint32_t now_ms) {
  if (told_ == Told::Nothing) return;
  if (now_ms - told_at_ < (told_ == Told::Over ? config::turn_over_ms : config::turn_unknown_ms)) return;
  if (!downlink_.ended()) {
    cut_off_ = told_ == Told::Unknown;
    told_over_ = !cut_off_;
    if (told_over_) outcome_ = told_outcome_;
    downlink_.done(0, now_ms);
  }
  told_ = Told::Nothing;
}

void Node::check_utterance(uint32_t now_ms) {
  if (state_ == State::Listening && now_ms - state_since_ >= config::longest_utterance_ms) end_utterance(now_ms);
  if (state_ != State::Listening && state_ != State::Waiting) return;
  if (uplink_.stuck_ms(now_ms) < config::link_grace_ms) return;
  ++counters_.utterances_lost;
  abandon_turn(now_ms);
  fail(now_ms);
}

void Node::check_awaited(uint32_t now_ms) {
  if (state_ != State::Listening && state_ != State::Waiting) return;
  if (downlink_.turn() != 0 && downlink_.ended()) {
    // Told by `done`; of the reply itself nothing has come.
    const bool nothing_to_say = outcome_ == Outcome::Interrupted || outcome_ == Outcome::Silent;
    if (cut_off_) {
      abandon_turn(now_ms);
    } else {
      finish_turn(now_ms);
    }
    if (nothing_to_say) return;
    ++counters_.replies_missing;
    fail(now_ms);
    return;
  }
  if (state_ != State::Waiting) return;
  // What is sent while there is no link is not kept for us.
  const bool too_late = now_ms - state_since_ >= config::reply_timeout_ms ||
                        (!linked_ && now_ms - link_lost_at_ >= config::link_away_timeout_ms);
  if (!too_late) return;
  ++counters_.replies_missing;
  abandon_turn(now_ms);
  fail(now_ms);
}

void Node::check_reply(uint32_t now_ms) {
  if (state_ != State::Speaking) return;
  const bool heard = player_.reply_heard();
  if (heard && !cut_off_) {
    // One that was stopped on purpose has no last frame either.
    const bool stopped = outcome_ == Outcome::Interrupted || outcome_ == Outcome::Silent;
    const bool rest_lost = !stopped && (downlink_.tail_lost() || (told_over_ && !downlink_.end_came()));
    const bool failed = rest_lost || player_.undecodable();
    ++(rest_lost ? counters_.replies_stalled : counters_.replies_heard);
    if (linked_) publish_played(!rest_lost, now_ms);
    finish_turn(now_ms);
    if (failed) fail(now_ms);
    return;
  }
  const bool away = !linked_ && now_ms - link_lost_at_ >= config::link_away_timeout_ms;
  const uint32_t limit_ms = away ? config::link_away_timeout_ms : config::reply_gap_timeout_ms;
  if (!heard && now_ms - player_.progress_at() < limit_ms) return;
  ++counters_.replies_stalled;
  abandon_turn(now_ms);
  fail(now_ms);
}

// --- The microphone --------------------------------------------------------------------------------------------------

bool Node::start_microphone(uint32_t now_ms) {
  microphone_on_ = microphone_.start();
  microphone_failing_ = !microphone_on_;
  if (microphone_on_) return true;
  microphone_failed_at_ = now_ms;
  ++counters_.microphone_failed;
  return false;
}

void Node::stop_microphone() {
  if (microphone_on_) microphone_.stop();
  microphone_on_ = false;
}

// Hands-free, the microphone is on while nothing else goes on: not while a tone sounds, which it would hear.
void Node::tend_microphone(uint32_t now_ms) {
  if (state_ == State::Listening) return;
  const bool wanted = hands_free_ && state_ == State::Idle && !player_.busy();
  const bool stale = now_ms - ticked_at_ >= stale_audio_ms;
  if (microphone_on_ && (!wanted || stale)) stop_microphone();
  if (!wanted || microphone_on_) return;
  if (microphone_failing_ && now_ms - microphone_failed_at_ < config::failed_ms) return;
  if (!start_microphone(now_ms)) return;
  endpointer_.restart();
  uplink_.arm();
}

void Node::read_microphone(uint32_t now_ms) {
  int16_t samples[read_samples];
  for (unsigned i = 0; i < reads_per_tick && microphone_on_; ++i) {
    const size_t count = microphone_.read(samples, read_samples);
    if (count == 0) return;
    uplink_.feed(samples, count);
    if (!hands_free_) continue;
    const SpeechChange change = endpointer_.feed(samples, count);
    if (change == SpeechChange::SpeechStarted && state_ == State::Idle) begin_utterance(false, now_ms);
    if (change == SpeechChange::SpeechEnded && state_ == State::Listening && !held_) end_utterance(now_ms);
  }
}

// What has been recorded up to now still belongs to the utterance that ends.
void Node::record_rest() {
  int16_t samples[read_samples];
  for (unsigned i = 0; i < reads_per_tick && microphone_on_; ++i) {
    const size_t count = microphone_.read(samples, read_samples);
    if (count == 0) return;
    uplink_.feed(samples, count);
  }
}

// --- Publishing ------------------------------------------------------------------------------------------------------

bool Node::publish(const char* topic, const char* text, size_t size, bool retained) {
  if (link_.publish(topic, reinterpret_cast<const uint8_t*>(text), size, retained)) return true;
  ++counters_.publish_refused;
  return false;
}

// Publishes what waits. False: something still does.
bool Node::publish_due() {
  if (!linked_) return false;
  static const char online[] = "online";
  if (online_due_ && !publish(topics_.online(), online, sizeof(online) - 1, true)) return false;
  online_due_ = false;
  if (hello_due_) {
    const size_t size = write_hello_rssi(hello_, hello_size_, rssi_);
    if (!publish(topics_.hello(), hello_, size, true)) return false;
  }
  hello_due_ = false;
  if (abort_due_) {
    char text[control_capacity];
    if (!publish(topics_.control(), text, write_abort(text, sizeof(text)), false)) return false;
    abort_due_ = false;
  }
  if (cancel_due_ != 0 && !uplink_.publish_cancel(cancel_due_)) return false;
  cancel_due_ = 0;
  return true;
}

void Node::pump_uplink(uint32_t now_ms) {
  if (state_ != State::Listening && state_ != State::Waiting) return;
  // Until then it may be a press that says nothing.
  if (state_ == State::Listening && by_button_ && now_ms - state_since_ < config::shortest_press_ms) return;
  if (!publish_due()) return;
  uplink_.pump(now_ms);
  // Not before: a frame of this number that comes when nothing has been sent answers the device of before a restart.
  if (uplink_.any_sent() && downlink_.turn() != uplink_.turn()) downlink_.expect(uplink_.turn());
}

bool Node::played_news() const { return buffer_.any_heard() && (!played_any_ || buffer_.heard_seq() != played_seq_); }

void Node::report_played(uint32_t now_ms) {
  if (state_ != State::Speaking || !linked_) return;
  if (played_news() && now_ms - played_at_ >= config::played_every_ms) publish_played(false, now_ms);
}

void Node::publish_played(bool end, uint32_t now_ms) {
  // Of a reply without sound there is nothing to tell.
  if (!buffer_.any_heard()) return;
  char text[control_capacity];
  const size_t size = write_played(downlink_.turn(), buffer_.heard_seq(), end, text, sizeof(text));
  publish(topics_.control(), text, size, false);
  played_at_ = now_ms;
  played_any_ = true;
  played_seq_ = buffer_.heard_seq();
}

}  // namespace voice

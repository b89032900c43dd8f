// The whole device: what it does about the button, its voice, its link and its messages. One object, no heap, no clock.
//
//   voice::Node node(microphone, speaker, decoder, link);
//   node.begin(options, millis());
//   loop():  each (re)connect, once subscribed to topics().out(), event() and state(): node.link_up(millis(), rssi);
//            each loss: node.link_down(millis());   each message: node.receive(topic, payload, size, millis());
//            the debounced button: node.press(millis()), node.release(millis());   always: node.tick(millis());
//
// Times are milliseconds of any clock that wraps at 2^32. Everything is called from one task.
//
// How a turn ends that the gateway says nothing more of. What it sent while the link was away is lost, `done` included;
// after a restart it may not even know of the turn. Its retained `state` comes at each connect and after each change:
//   idle, and the last turn is the open one   nothing more comes of it. Heard is what has come; then, since its last
//                                             frame has not, the error tone, unless it was interrupted or there was
//                                             nothing to say. After turn_over_ms.
//   idle, and the last turn is another        the gateway does not know of the open one: what has come of it is heard,
//                                             then the error tone. After turn_unknown_ms, and only if it was said
//                                             after the end of the utterance had been sent.
// Either is taken back by any other state and by any frame or event of the open turn: states and audio come on
// different topics, whose order nobody promises. Without a state (none retained, not allowed to read it, or larger than
// max_packet) the time limits hold: reply_timeout_ms and reply_gap_timeout_ms, and link_away_timeout_ms without a link.
#ifndef VOICE_CORE_NODE_H
#define VOICE_CORE_NODE_H

#include <stddef.h>
#include <stdint.h>

#include "voice_core/config.h"
#include "voice_core/counters.h"
#include "voice_core/downlink.h"
#include "voice_core/endpointer.h"
#include "voice_core/frame.h"
#include "voice_core/messages.h"
#include "voice_core/player.h"
#include "voice_core/ports.h"
#include "voice_core/reply_buffer.h"
#include "voice_core/state.h"
#include "voice_core/topics.h"
#include "voice_core/uplink.h"

namespace voice {

// Copied by begin(): the texts need not outlive it. An empty text is not said in `hello`.
struct NodeOptions {
  const char* root = "voice";
  const char* device_id = "";
  const char* name = "";
  const char* firmware = "";
  const char* board = "";
  const char* language = "";   // ISO 639, "es"
  Codec codec = Codec::Adpcm;  // or Codec::Pcm
  bool hands_free = false;
  uint16_t max_packet = config::max_packet;  // bytes of the MQTT client's buffer
  // The number of the first turn, 1 to 0x7FFF. Random at each boot: a late answer to what was asked before a restart
  // is then not taken for the answer to the first question after it.
  uint16_t first_turn = 1;
};

// What the status LED shows.
enum class Indication : uint8_t { Offline, Idle, Listening, Waiting, Speaking, Failed };

const char* name(Indication indication);

class Node {
 public:
  Node(Microphone& microphone, Speaker& speaker, Mp3Decoder& decoder, Link& link);

  // Before anything else, once. False: the root, the id, a label, the codec or the first turn is not valid; the node
  // then does nothing at all.
  bool begin(const NodeOptions& options, uint32_t now_ms);

  // The link is connected and subscribed. Publishes `online` and `hello`, retained, and takes back what was given up
  // while there was no link. `rssi`: the strength of the WiFi's signal in dBm, for `hello`; 0: not known.
  void link_up(uint32_t now_ms, int8_t rssi);
  void link_down(uint32_t now_ms);

  // A message from the MQTT client; what is kept of it is copied. Nothing is published from within: an MQTT client may
  // have one buffer for both directions.
  void receive(const char* topic, const uint8_t* payload, size_t size, uint32_t now_ms);

  // The button, debounced: speak while it is held. While a reply is awaited or heard a press stops that first; one
  // released before config::shortest_press_ms says nothing. Without a link it is answered by the error tone.
  void press(uint32_t now_ms);
  void release(uint32_t now_ms);

  // Hands-free: speech itself begins and ends utterances, while nothing is awaited or heard (there is no echo
  // cancelling, so only the button interrupts a reply). The button goes on working. `hello` goes on saying what the
  // options of begin() were.
  void set_hands_free(bool hands_free, uint32_t now_ms);
  bool hands_free() const { return hands_free_; }

  // In each loop, at least every 20 ms while something sounds or is recorded.
  void tick(uint32_t now_ms);

  State state() const { return state_; }
  Indication indication() const;
  const Counters& counters() const { return counters_; }
  // To subscribe to out(), event() and state(); online() takes the will, "offline", retained.
  const Topics& topics() const { return topics_; }
  // Whether nothing is left to be heard, so that a blocking connect makes nothing stutter.
  bool quiet() const { return !player_.sounding(); }

  // Whether the largest packet finds room. What is not received meanwhile waits at the sender, and is not lost: a link
  // that carried nothing for some seconds brings more at once than the gateway ever sends ahead.
  bool has_room() const { return buffer_.free() >= config::max_packet; }

 private:
  // What the gateway's state means for the open turn, as far as it has not been taken back.
  enum class Told : uint8_t { Nothing, Over, Unknown };

  bool move(Move move, uint32_t now_ms);

  void begin_utterance(bool by_button, uint32_t now_ms);
  void end_utterance(uint32_t now_ms);
  void begin_reply(uint32_t now_ms);
  // The open turn is over: nothing is recorded, awaited or heard any more.
  void finish_turn(uint32_t now_ms);
  // As finish_turn, and the gateway is told to stop.
  void abandon_turn(uint32_t now_ms);
  void fail(uint32_t now_ms);

  bool start_microphone(uint32_t now_ms);
  void stop_microphone();
  void tend_microphone(uint32_t now_ms);
  void read_microphone(uint32_t now_ms);
  void record_rest();

  void receive_audio(const uint8_t* payload, size_t size, uint32_t now_ms);
  void receive_event(const uint8_t* payload, size_t size, uint32_t now_ms);
  void receive_state(const uint8_t* payload, size_t size, uint32_t now_ms);

  bool publish(const char* topic, const char* text, size_t size, bool retained);
  bool publish_due();
  void pump_uplink(uint32_t now_ms);
  bool played_news() const;
  void report_played(uint32_t now_ms);
  void publish_played(bool end, uint32_t now_ms);

  void check_told(uint32_t now_ms);
  void check_utterance(uint32_t now_ms);
  void check_awaited(uint32_t now_ms);
  void check_reply(uint32_t now_ms);

  Microphone& microphone_;
  Link& link_;
  Topics topics_;
  Counters counters_;
  ReplyBuffer buffer_;
  Uplink uplink_;
  Downlink downlink_;
  Player player_;
  Endpointer endpointer_;

  char hello_[hello_capacity];
  size_t hello_size_ = 0;  // without `rssi`
  int8_t rssi_ = 0;

  State state_ = State::Offline;
  bool ready_ = false;
  bool linked_ = false;
  bool hands_free_ = false;
  bool held_ = false;       // the button
  bool by_button_ = false;  // the utterance was begun by the button
  bool microphone_on_ = false;
  Outcome outcome_ = Outcome::None;  // of the open turn, once told
  Told told_ = Told::Nothing;
  Outcome told_outcome_ = Outcome::None;
  uint16_t announced_turn_ = 0;  // the turn that is about to speak an announcement, and how loud; 0: none is
  uint8_t announced_volume_ = full_volume;
  bool cut_off_ = false;    // the gateway does not know of the open turn: its reply, if any came, ends here
  bool told_over_ = false;  // the gateway's state has ended the open turn, not its own frames or `done`
  uint16_t next_turn_ = 1;

  // What is still to be published, in this order; nothing of an utterance leaves before it.
  bool online_due_ = false;
  bool hello_due_ = false;
  bool abort_due_ = false;
  uint16_t cancel_due_ = 0;  // the turn; 0: none

  uint32_t state_since_ = 0;
  uint32_t ticked_at_ = 0;
  uint32_t link_lost_at_ = 0;
  uint32_t told_at_ = 0;
  bool microphone_failing_ = false;
  uint32_t microphone_failed_at_ = 0;
  bool failed_ = false;
  uint32_t failed_at_ = 0;
  uint32_t played_at_ = 0;
  bool played_any_ = false;
  uint16_t played_seq_ = 0;
};

static_assert(sizeof(Node) <= config::ram_budget_bytes, "the node exceeds VOICE_RAM_BUDGET_BYTES");

}  // namespace voice

#endif

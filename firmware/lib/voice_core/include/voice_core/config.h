// Every size, limit and threshold of the firmware, once. Each can be set by a macro of the same name in capitals with
// VOICE_ before it: build_flags = -DVOICE_BUFFER_MS=1500
#ifndef VOICE_CORE_CONFIG_H
#define VOICE_CORE_CONFIG_H

#include <stddef.h>
#include <stdint.h>

// Audio from the microphone.
#ifndef VOICE_MIC_RATE
#define VOICE_MIC_RATE 16000
#endif
#ifndef VOICE_ADPCM_CHUNK_SAMPLES
#define VOICE_ADPCM_CHUNK_SAMPLES 2048
#endif
#ifndef VOICE_PCM_CHUNK_SAMPLES
#define VOICE_PCM_CHUNK_SAMPLES 1024
#endif
#ifndef VOICE_UPLINK_BYTES
#define VOICE_UPLINK_BYTES 16384
#endif
#ifndef VOICE_PRE_ROLL_MS
#define VOICE_PRE_ROLL_MS 256
#endif

// The reply.
#ifndef VOICE_MAX_PACKET
#define VOICE_MAX_PACKET 4096
#endif
#ifndef VOICE_PLAYBACK_BYTES
#define VOICE_PLAYBACK_BYTES 16384
#endif
#ifndef VOICE_BUFFER_MS
#define VOICE_BUFFER_MS 2000
#endif
#ifndef VOICE_REPLY_RATE
#define VOICE_REPLY_RATE 24000
#endif
#ifndef VOICE_REPLY_BITRATE_KBPS
#define VOICE_REPLY_BITRATE_KBPS 32
#endif
#ifndef VOICE_PRE_BUFFER_MS
#define VOICE_PRE_BUFFER_MS 300
#endif
#ifndef VOICE_REORDER_FRAMES
#define VOICE_REORDER_FRAMES 4
#endif
#ifndef VOICE_REORDER_BYTES
#define VOICE_REORDER_BYTES VOICE_MAX_PACKET
#endif

// Time limits.
#ifndef VOICE_LONGEST_UTTERANCE_MS
#define VOICE_LONGEST_UTTERANCE_MS 28000
#endif
#ifndef VOICE_SHORTEST_PRESS_MS
#define VOICE_SHORTEST_PRESS_MS 250
#endif
#ifndef VOICE_LINK_GRACE_MS
#define VOICE_LINK_GRACE_MS 1000
#endif
#ifndef VOICE_REPLY_TIMEOUT_MS
#define VOICE_REPLY_TIMEOUT_MS 45000
#endif
#ifndef VOICE_REPLY_GAP_TIMEOUT_MS
#define VOICE_REPLY_GAP_TIMEOUT_MS 16000
#endif
#ifndef VOICE_LINK_AWAY_TIMEOUT_MS
#define VOICE_LINK_AWAY_TIMEOUT_MS 5000
#endif
#ifndef VOICE_TURN_OVER_MS
#define VOICE_TURN_OVER_MS 1000
#endif
#ifndef VOICE_TURN_UNKNOWN_MS
#define VOICE_TURN_UNKNOWN_MS 5000
#endif
#ifndef VOICE_REORDER_WAIT_MS
#define VOICE_REORDER_WAIT_MS 200
#endif
#ifndef VOICE_CLOSED_TURN_MS
#define VOICE_CLOSED_TURN_MS 60000
#endif
#ifndef VOICE_SHORTEST_TAIL_MS
#define VOICE_SHORTEST_TAIL_MS 500
#endif
#ifndef VOICE_PLAYED_EVERY_MS
#define VOICE_PLAYED_EVERY_MS 1000
#endif
#ifndef VOICE_FAILED_MS
#define VOICE_FAILED_MS 2000
#endif
#ifndef VOICE_TONE_LIMIT_MS
#define VOICE_TONE_LIMIT_MS 2000
#endif
#ifndef VOICE_BACKOFF_MIN_MS
#define VOICE_BACKOFF_MIN_MS 500
#endif
#ifndef VOICE_BACKOFF_MAX_MS
#define VOICE_BACKOFF_MAX_MS 30000
#endif

// End of speech, hands-free.
#ifndef VOICE_ENDPOINT_SPEECH_MS
#define VOICE_ENDPOINT_SPEECH_MS 100
#endif
#ifndef VOICE_ENDPOINT_SILENCE_MS
#define VOICE_ENDPOINT_SILENCE_MS 700
#endif
#ifndef VOICE_ENDPOINT_START_DB
#define VOICE_ENDPOINT_START_DB 12
#endif
#ifndef VOICE_ENDPOINT_STOP_DB
#define VOICE_ENDPOINT_STOP_DB 6
#endif
#ifndef VOICE_ENDPOINT_MIN_LEVEL
#define VOICE_ENDPOINT_MIN_LEVEL 100
#endif

#ifndef VOICE_TONE_LEVEL
#define VOICE_TONE_LEVEL 8000
#endif

#ifndef VOICE_RAM_BUDGET_BYTES
#define VOICE_RAM_BUDGET_BYTES 65536
#endif

namespace voice {
namespace config {

// --- Audio from the microphone -------------------------------------------------------------------------------------

// Hz; what the microphone gives and what the uplink's frames say.
constexpr uint32_t mic_rate = VOICE_MIC_RATE;

// Samples of one uplink frame, by codec: 128 ms of ADPCM in 1,028 bytes, 64 ms of PCM in 2,048. Fewer and larger
// messages are what the broker and the gateway handle most cheaply; the last frame goes at once, whatever its length.
constexpr size_t adpcm_chunk_samples = VOICE_ADPCM_CHUNK_SAMPLES;
constexpr size_t pcm_chunk_samples = VOICE_PCM_CHUNK_SAMPLES;

// Bytes of coded audio kept while the link refuses them: 2 s of ADPCM, more than the gateway waits for a silent device.
constexpr size_t uplink_bytes = VOICE_UPLINK_BYTES;

// Milliseconds before the endpointer's decision that a hands-free utterance begins with.
constexpr uint32_t pre_roll_ms = VOICE_PRE_ROLL_MS;
constexpr size_t pre_roll_samples = static_cast<size_t>(mic_rate) * pre_roll_ms / 1000;

// --- The reply -----------------------------------------------------------------------------------------------------

// Bytes of the MQTT client's buffer: the largest packet, all headers included, that the device takes or makes. Said in
// `hello`. PubSubClient drops a larger one without a word.
constexpr size_t max_packet = VOICE_MAX_PACKET;

// Bytes of MP3 kept for playing: what the gateway may send ahead, one packet more, and headroom for a bit rate that
// could not be met exactly.
constexpr size_t playback_bytes = VOICE_PLAYBACK_BYTES;

// What `hello` asks for: milliseconds of reply sent ahead of real time, Hz, and kbit/s.
constexpr uint32_t buffer_ms = VOICE_BUFFER_MS;
constexpr uint32_t reply_rate = VOICE_REPLY_RATE;
constexpr uint32_t reply_bitrate_kbps = VOICE_REPLY_BITRATE_KBPS;

// Milliseconds of reply to hold before the first sound, and again after running dry.
constexpr uint32_t pre_buffer_ms = VOICE_PRE_BUFFER_MS;

// Frames of reply, and bytes of their audio, that wait for one before them. What is missing when either is full is
// lost.
constexpr size_t reorder_frames = VOICE_REORDER_FRAMES;
constexpr size_t reorder_bytes = VOICE_REORDER_BYTES;

// Most samples, mono, that one MP3 frame decodes to (MPEG-1 layer III).
constexpr size_t decoder_samples = 1152;

// --- Time limits, in milliseconds ----------------------------------------------------------------------------------

// A held button ends its utterance here: below the gateway's own limit of 30 s, so that nothing said is cut off there.
constexpr uint32_t longest_utterance_ms = VOICE_LONGEST_UTTERANCE_MS;

// A press released sooner says nothing; while a reply plays or is awaited it means "stop".
constexpr uint32_t shortest_press_ms = VOICE_SHORTEST_PRESS_MS;

// How long an utterance survives without a link: the gateway closes an utterance that is silent for longer.
constexpr uint32_t link_grace_ms = VOICE_LINK_GRACE_MS;

// No sign of a reply: longer than the gateway's own limits for recognising (15 s) and answering (30 s) put together
// leave in practice, since each failure of theirs is told by a spoken message.
constexpr uint32_t reply_timeout_ms = VOICE_REPLY_TIMEOUT_MS;

// A reply that has begun stops coming, counted from when it has run dry. A slow model pauses between two sentences for
// as long as it makes the next: the gateway gives one synthesis 15 s. A turn that is over is told sooner, by its state.
constexpr uint32_t reply_gap_timeout_ms = VOICE_REPLY_GAP_TIMEOUT_MS;

// The link is away while a reply is awaited, or has run dry: what is sent meanwhile is not kept for the device.
constexpr uint32_t link_away_timeout_ms = VOICE_LINK_AWAY_TIMEOUT_MS;

// The gateway's state says that the open turn is over, or tells of another and of none that runs; and nothing of the
// open turn has come since. The first can only be wrong about what is still on its way. The second is also what the
// gateway says before it has received the utterance, or while it still ends the turn before (3 s at most).
constexpr uint32_t turn_over_ms = VOICE_TURN_OVER_MS;
constexpr uint32_t turn_unknown_ms = VOICE_TURN_UNKNOWN_MS;

// A frame is missing before one that has come, or after `done`.
constexpr uint32_t reorder_wait_ms = VOICE_REORDER_WAIT_MS;

// Milliseconds of reply that must come after a missing frame for it to be a hole: what follows for a shorter time, of
// which the decoder needs some to find its way back, does not tell how the reply ended.
constexpr uint32_t shortest_tail_ms = VOICE_SHORTEST_TAIL_MS;

// How long a turn of the gateway's that is over cannot begin again. Its numbers can begin anew when it lost its
// database, so they are not remembered for ever.
constexpr uint32_t closed_turn_ms = VOICE_CLOSED_TURN_MS;

// At most one `played` report in this time, but for the last.
constexpr uint32_t played_every_ms = VOICE_PLAYED_EVERY_MS;

// How long a failure is shown.
constexpr uint32_t failed_ms = VOICE_FAILED_MS;

// A tone that a speaker does not play is given up.
constexpr uint32_t tone_limit_ms = VOICE_TONE_LIMIT_MS;

// Reconnecting.
constexpr uint32_t backoff_min_ms = VOICE_BACKOFF_MIN_MS;
constexpr uint32_t backoff_max_ms = VOICE_BACKOFF_MAX_MS;

// --- End of speech, hands-free -------------------------------------------------------------------------------------

// Milliseconds of loud frames that make speech, and of quiet that end it.
constexpr uint32_t endpoint_speech_ms = VOICE_ENDPOINT_SPEECH_MS;
constexpr uint32_t endpoint_silence_ms = VOICE_ENDPOINT_SILENCE_MS;

// dB above the noise floor: speech begins at the first and goes on down to the second.
constexpr uint32_t endpoint_start_db = VOICE_ENDPOINT_START_DB;
constexpr uint32_t endpoint_stop_db = VOICE_ENDPOINT_STOP_DB;

// Mean level, of 32767, below which nothing is speech, however quiet the room.
constexpr uint32_t endpoint_min_level = VOICE_ENDPOINT_MIN_LEVEL;

// --- Tones and names -----------------------------------------------------------------------------------------------

// Loudest sample of a tone.
constexpr int32_t tone_level = VOICE_TONE_LEVEL;

// Characters without the closing NUL. The contract allows a device id and a label of `hello` of 64.
constexpr size_t device_id_length = 64;
constexpr size_t root_length = 64;
constexpr size_t label_length = 64;
// "<root>/<device>/control", the longest there is.
constexpr size_t topic_length = root_length + 1 + device_id_length + 8;

// Bytes that the whole core may take in RAM, the MP3 decoder apart; `make size` fails above it.
constexpr size_t ram_budget_bytes = VOICE_RAM_BUDGET_BYTES;

// --- What must fit together ----------------------------------------------------------------------------------------

// Of a PUBLISH: 1 byte, a remaining length of at most 4, 2 bytes and the topic; of the payload: the frame header.
constexpr size_t largest_publish_overhead = 1 + 4 + 2 + topic_length + 12;
static_assert(largest_publish_overhead + 4 + adpcm_chunk_samples / 2 <= max_packet, "an ADPCM frame exceeds a packet");
static_assert(largest_publish_overhead + 2 * pcm_chunk_samples <= max_packet, "a PCM frame exceeds VOICE_MAX_PACKET");
static_assert(adpcm_chunk_samples % 2 == 0, "an ADPCM block holds whole bytes of two samples");
static_assert(static_cast<size_t>(buffer_ms) * reply_bitrate_kbps / 8 + max_packet <= playback_bytes,
              "VOICE_PLAYBACK_BYTES cannot hold VOICE_BUFFER_MS of reply and one packet");
static_assert(pre_buffer_ms < buffer_ms, "playing would never begin");
static_assert(endpoint_silence_ms >= 100 && endpoint_silence_ms <= 10000,
              "VOICE_ENDPOINT_SILENCE_MS is 100 to 10000, as `end_of_speech` of `hello`");
static_assert(reorder_frames >= 1 && reorder_frames <= 32, "VOICE_REORDER_FRAMES is 1 to 32");
static_assert(reorder_wait_ms < turn_over_ms && turn_over_ms < turn_unknown_ms,
              "a state would be believed before what it is about has arrived");
static_assert(max_packet <= 65535, "PubSubClient counts its buffer in 16 bits");

}  // namespace config
}  // namespace voice

#endif

// Decodes blocks in C++ alone, for processors that no Python is at hand for: the model, the mixing, the range
// coder, the token table, and the CRC-32 of the contents. Input is a file that tests/foreign.py makes of a pack
// and archives: little-endian arrays in the order in which they are read here. Exit status 1 on any difference.

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "../isa/isa.h"
#include "../lockstep.h"
#include "../model.h"

using namespace lmzip;

namespace {

// Arrays, each its length in bytes (8 bytes), then its elements; whatever the machine's byte order.
class Input {
  public:
    explicit Input(const char* path) {
        std::ifstream file(path, std::ios::binary);
        data_.assign(std::istreambuf_iterator<char>(file), {});
    }

    template <class T>
    std::vector<T> array() {
        const std::size_t bytes = number(8);
        std::vector<T> found(bytes / sizeof(T));
        for (T& value : found) {
            const std::uint64_t bits = number(sizeof(T));
            if constexpr (sizeof(T) == 8) value = std::bit_cast<T>(bits);
            if constexpr (sizeof(T) == 4) value = std::bit_cast<T>(static_cast<std::uint32_t>(bits));
            if constexpr (sizeof(T) == 2) value = std::bit_cast<T>(static_cast<std::uint16_t>(bits));
            if constexpr (sizeof(T) == 1) value = std::bit_cast<T>(static_cast<std::uint8_t>(bits));
        }
        return found;
    }

    // Floats that the kernels read in whole vectors: zeros behind them, on a multiple of 64 bytes.
    const float* floats() {
        const auto values = array<float>();
        if (values.empty()) return nullptr;
        kept_.emplace_back(padded(values.size()) + 32);
        float* at = aligned(kept_.back().data());
        std::copy(values.begin(), values.end(), at);
        return at;
    }

    Matrix matrix(std::size_t rows, std::size_t columns) {
        const auto tiles = array<std::uint8_t>();
        tiles_.emplace_back(tiles.size() + 128);
        std::uint8_t* at = aligned(tiles_.back().data());
        std::copy(tiles.begin(), tiles.end(), at);
        return {at, floats(), rows, columns};
    }

  private:
    template <class T>
    static T* aligned(T* p) {
        return reinterpret_cast<T*>((reinterpret_cast<std::uintptr_t>(p) + 63) / 64 * 64);
    }

    std::uint64_t number(std::size_t size) {
        if (at_ + size > data_.size()) throw std::runtime_error("the input is cut short");
        std::uint64_t value = 0;
        for (std::size_t i = 0; i < size; ++i)
            value |= std::uint64_t{static_cast<std::uint8_t>(data_[at_ + i])} << (8 * i);
        at_ += size;
        return value;
    }

    std::vector<char> data_;
    std::size_t at_ = 0;
    std::vector<std::vector<float>> kept_;
    std::vector<std::vector<std::uint8_t>> tiles_;
};

struct Tool {
    Config config;
    Weights weights;
    std::int64_t bos;
    std::vector<std::uint64_t> turns;
    std::shared_ptr<mix::Vocabulary> vocabulary;
    std::vector<std::int8_t> start_weights;
    std::vector<std::int16_t> start_finals;
    std::vector<std::uint16_t> start_maps;

    explicit Tool(Input& in) {
        const auto n = in.array<std::uint64_t>();
        const auto scales = in.array<float>();
        config = {n[0], n[1], n[2], n[3], n[4], n[5], n[6], scales[0], scales[1], in.array<std::int32_t>()};
        bos = static_cast<std::int64_t>(n[7]);
        const bool tied = n[8] != 0, bias = n[9] != 0, norms = n[10] != 0;
        const Config& c = config;
        const std::size_t heads = c.heads * c.head_width, kv = c.kv_heads * c.head_width;
        weights.embed = in.matrix(c.vocab, c.width);
        weights.head = tied ? weights.embed : in.matrix(c.vocab, c.width);
        weights.norm = in.floats();
        turns = in.array<std::uint64_t>();
        weights.turns = turns.data();
        for (std::size_t i = 0; i < c.layers; ++i) {
            Layer layer{};
            layer.attention_norm = in.floats();
            layer.ffn_norm = in.floats();
            layer.qkv = in.matrix(heads + 2 * kv, c.width);
            layer.o = in.matrix(c.width, heads);
            layer.gate_up = in.matrix(2 * c.ffn_width, c.width);
            layer.down = in.matrix(c.width, c.ffn_width);
            if (bias) layer.qkv_bias = in.floats();
            if (norms) {
                layer.q_norm = in.floats();
                layer.k_norm = in.floats();
            }
            weights.layers.push_back(layer);
        }
        vocabulary = std::make_shared<mix::Vocabulary>();
        vocabulary->ends = in.array<std::uint32_t>();
        vocabulary->bytes = in.array<std::uint8_t>();
        start_weights = in.array<std::int8_t>();
        start_finals = in.array<std::int16_t>();
        start_maps = in.array<std::uint16_t>();
    }

    mix::Start start() const {
        if (start_weights.empty()) return {};
        return {start_weights.data(), start_finals.data(), start_maps.data()};
    }
};

// n things in `count` parts, the first ones one larger.
std::vector<std::size_t> parts(std::size_t n, std::size_t count) {
    std::vector<std::size_t> found(count, n / count);
    for (std::size_t i = 0; i < n % count; ++i) ++found[i];
    return found;
}

std::uint32_t crc32(const std::string& data, std::uint32_t seed) {
    std::uint32_t crc = ~seed;
    for (const char c : data) {
        crc ^= static_cast<std::uint8_t>(c);
        for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
    }
    return ~crc;
}

// FORMAT.md, "Language-model blocks". Throws std::runtime_error for what no encoder wrote.
std::string decode(Tool& tool, Model& model, const Kernels& kernels, Input& in) {
    const auto n = in.array<std::uint64_t>();
    const std::size_t tokens = n[0], window = n[1], sinks = n[2], length = n[3], at_once = n[4], bits = n[5];
    const std::size_t count = at_once ? (tokens + length * at_once - 1) / (length * at_once) : 1;
    const std::size_t most = (parts(tokens, count)[0] + length - 1) / length;
    RangeDecoder decoder(in.array<std::uint8_t>());
    std::unique_ptr<mix::Mixer> mixer;
    if (bits)
        mixer = std::make_unique<mix::Mixer>(tool.vocabulary, most, static_cast<unsigned>(bits), tool.start(), kernels);
    std::string text;
    bool first = true;
    for (const std::size_t here : parts(tokens, count)) {
        if (mixer && !first) mixer->restart();
        first = false;
        const auto lengths = parts(here, (here + length - 1) / length);
        const std::size_t streams = lengths.size();
        Cache cache({tool.config.layers, tool.config.kv_heads, tool.config.head_width, streams, window, sinks, lengths[0]});
        States states;
        Lockstep steps({{mixer.get(), nullptr, &decoder, streams}}, 1);
        std::vector<std::vector<std::int64_t>> rows(streams);
        std::vector<std::int64_t> now(streams, tool.bos);
        std::vector<std::int32_t> high(streams * model.high_digits()), low(streams * 256);
        for (std::size_t t = 0; t < lengths[0]; ++t) {
            model.forward(now.data(), 1, cache, states);
            std::int64_t active = 0;
            for (const std::size_t n : lengths) active += n > t;
            std::vector<std::int64_t> digits(streams), found(streams);
            model.high(states, high.data());
            bool good = steps.high(high.data(), model.high_digits(), model.high_digits(), &active, found.data(), digits.data());
            if (good) {
                model.low(states, digits.data(), low.data());
                good = steps.low(low.data(), 256, &active, digits.data(), found.data());
            }
            for (std::size_t i = 0; good && i < static_cast<std::size_t>(active); ++i) {
                good = found[i] >= 0 && static_cast<std::size_t>(found[i]) < tool.config.vocab;
                rows[i].push_back(found[i]);
            }
            if (!good) throw std::runtime_error("the payload does not decode");
            for (std::size_t i = 0; i < streams; ++i) now[i] = i < static_cast<std::size_t>(active) ? found[i] : 0;
        }
        for (const auto& row : rows)
            for (const std::int64_t token : row) {
                const auto at = static_cast<std::size_t>(token);
                const auto* bytes = reinterpret_cast<const char*>(tool.vocabulary->bytes.data());
                text.append(bytes + tool.vocabulary->ends[at], bytes + tool.vocabulary->ends[at + 1]);
            }
    }
    if (text.size() != n[6]) throw std::runtime_error("the contents have another length");
    if (crc32(text, static_cast<std::uint32_t>(n[8])) != n[7]) throw std::runtime_error("the contents have another CRC-32");
    return text;
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 2) return 2;
    int failures = 0;
    Input in(arguments[1]);
    Tool tool(in);
    const auto blocks = in.array<std::uint64_t>()[0];
    const bool little = std::endian::native == std::endian::little;
    std::size_t bytes = 0;
    const Kernels& kernels = find_kernels("");
    Model model(tool.config, tool.weights, kernels, 1);
    for (std::uint64_t i = 0; i < blocks; ++i) {
        const auto name = in.array<char>();
        try {
            bytes += decode(tool, model, kernels, in).size();
        } catch (const std::exception& error) {
            ++failures;
            std::printf("FAILED %.*s: %s\n", static_cast<int>(name.size()), name.data(), error.what());
        }
    }
    std::printf("%s-endian, kernels %s: %llu blocks, %zu bytes, %d failures\n", little ? "little" : "big",
                kernels.name, static_cast<unsigned long long>(blocks), bytes, failures);
    return failures ? 1 : 0;
}

// The Python module lmzip._native. It only binds: checks are on shapes, arithmetic is elsewhere.

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "coder/range_coder.h"
#include "frequencies.h"
#include "isa/isa.h"
#include "lockstep.h"
#include "mix/mixer.h"
#include "model.h"

namespace nb = nanobind;
using namespace nb::literals;

template <class T, std::size_t n>
using Array = nb::ndarray<T, nb::ndim<n>, nb::c_contig, nb::device::cpu>;

namespace {

// A model with what its weights point to: the pack's arrays, and padded copies of the short ones.
class BoundModel {
  public:
    BoundModel(const nb::dict& config, nb::dict tensors, std::size_t threads, const std::string& isa)
        : tensors_(std::move(tensors)),
          model_(std::make_unique<lmzip::Model>(read_config(config), read_weights(config),
                                                lmzip::find_kernels(isa), threads)) {}

    lmzip::Model& model() { return *model_; }

    // f(model), one caller at a time, while others have the interpreter. The threads it works with
    // are started again in a fork, where the lock may be held by a thread that is no more.
    template <class Function>
    void run(const Function& f) {
        if (model_->forked()) {
            static_cast<void>(busy_.release());
            busy_ = std::make_unique<std::mutex>();
            model_->restart();
        }
        nb::gil_scoped_release release;
        const std::lock_guard<std::mutex> lock(*busy_);
        f(*model_);
    }

  private:
    static std::size_t size(const nb::dict& config, const char* name) {
        return nb::cast<std::size_t>(config[name]);
    }

    static lmzip::Config read_config(const nb::dict& c) {
        return {size(c, "layers"),     size(c, "width"),     size(c, "heads"),
                size(c, "kv_heads"),   size(c, "head_width"), size(c, "ffn_width"),
                size(c, "vocab"),      nb::cast<float>(c["norm_eps"]),
                nb::cast<float>(c["score_scale"]),
                nb::cast<std::vector<std::int32_t>>(c["suppressed"]),
                size(c, "memory"), nb::cast<std::int64_t>(c["bos"])};
    }

    // A vector of n floats, copied and padded with zeros.
    const float* floats(const std::string& name, std::size_t n) {
        const auto array = nb::cast<Array<const float, 1>>(tensors_[name.c_str()]);
        if (array.shape(0) != n) throw std::invalid_argument(name + " has a wrong length");
        auto& copy = copies_.emplace_back(lmzip::padded(n) + 16);
        const auto at = reinterpret_cast<std::uintptr_t>(copy.data()) % 64;
        float* aligned = copy.data() + (64 - at) % 64 / sizeof(float);
        std::memcpy(aligned, array.data(), n * sizeof(float));
        return aligned;
    }

    lmzip::Matrix matrix(const std::string& name, std::size_t rows, std::size_t columns) {
        const auto array = nb::cast<Array<const std::uint8_t, 4>>(tensors_[(name + ".weight").c_str()]);
        const lmzip::Matrix found{array.data(), floats(name + ".scale", rows), rows, columns};
        if (array.shape(0) != found.row_tiles() || array.shape(1) != found.groups() ||
            array.shape(2) != lmzip::kTile || array.shape(3) != 4)
            throw std::invalid_argument(name + " has a wrong shape");
        return found;
    }

    lmzip::Weights read_weights(const nb::dict& config) {
        const lmzip::Config c = read_config(config);
        const bool tied = nb::cast<bool>(config["tied"]), bias = nb::cast<bool>(config["qkv_bias"]);
        const bool qk_norm = nb::cast<bool>(config["qk_norm"]);
        const std::size_t heads = c.heads * c.head_width, kv = c.kv_heads * c.head_width;
        lmzip::Weights found;
        found.embed = matrix("embed", c.vocab, c.width);
        found.head = tied ? found.embed : matrix("head", c.vocab, c.width);
        for (const std::size_t order : nb::cast<std::vector<std::size_t>>(config["ngrams"])) {
            const std::string p = "ngrams." + std::to_string(order) + ".";
            const std::size_t count = size(config, "ngram_rows"), width = size(config, "ngram_width");
            const auto rows = nb::cast<Array<const std::int8_t, 2>>(tensors_[(p + "rows").c_str()]);
            const auto steps = nb::cast<Array<const float, 1>>(tensors_[(p + "steps").c_str()]);
            if (rows.shape(0) != count || rows.shape(1) != width || steps.shape(0) != count)
                throw std::invalid_argument(p + "rows has a wrong shape");
            found.ngrams.push_back({order, count, width, rows.data(), steps.data(),
                                    matrix(p + "proj", c.width, width)});
        }
        found.norm = floats("norm", c.width);
        const auto turns = nb::cast<Array<const std::uint64_t, 1>>(tensors_["rope.turns"]);
        if (turns.shape(0) != c.head_width / 2) throw std::invalid_argument("rope.turns has a wrong length");
        found.turns = turns.data();
        for (std::size_t i = 0; i < c.layers; ++i) {
            const std::string p = "layers." + std::to_string(i) + ".";
            found.layers.push_back({
                .attention_norm = floats(p + "attention_norm", c.width),
                .ffn_norm = floats(p + "ffn_norm", c.width),
                .qkv = matrix(p + "qkv", heads + 2 * kv, c.width),
                .o = matrix(p + "o", c.width, heads),
                .gate_up = matrix(p + "gate_up", 2 * c.ffn_width, c.width),
                .down = matrix(p + "down", c.width, c.ffn_width),
                .qkv_bias = bias ? floats(p + "qkv.bias", heads + 2 * kv) : nullptr,
                .q_norm = qk_norm ? floats(p + "q_norm", c.head_width) : nullptr,
                .k_norm = qk_norm ? floats(p + "k_norm", c.head_width) : nullptr,
            });
        }
        return found;
    }

    nb::dict tensors_;
    std::vector<std::vector<float>> copies_;
    std::unique_ptr<lmzip::Model> model_;
    std::unique_ptr<std::mutex> busy_ = std::make_unique<std::mutex>();
};

void bind_model(nb::module_& m) {
    nb::class_<lmzip::Cache>(m, "Cache")
        .def_prop_ro("position", &lmzip::Cache::position)
        .def_prop_ro("streams", &lmzip::Cache::streams)
        .def_prop_ro("bytes", &lmzip::Cache::bytes)
        .def("keep", [](lmzip::Cache& cache, Array<const std::int64_t, 1> rows) {
            cache.keep(rows.data(), rows.shape(0));
        })
        .def("choose",
             [](lmzip::Cache& cache, Array<const std::int64_t, 1> rows, std::size_t position) {
                 cache.choose(rows.data(), rows.shape(0), position);
             },
             "rows"_a, "position"_a)
        .def_prop_ro("lead", &lmzip::Cache::lead)
        .def("spread", &lmzip::Cache::spread);
    nb::class_<lmzip::States>(m, "States").def(nb::init<>());
    nb::class_<BoundModel>(m, "Model",
                           "A decoder in exact arithmetic, for one thread at a time; others wait. "
                           "Caches and states are a thread's own.")
        .def(nb::init<const nb::dict&, nb::dict, std::size_t, const std::string&>(), "config"_a,
             "tensors"_a, "threads"_a, "isa"_a)
        .def_prop_ro("isa", [](BoundModel& self) { return self.model().kernels().name; })
        .def("new_cache",
             [](BoundModel& self, std::size_t streams, std::size_t window, std::size_t sinks,
                std::size_t length) {
                 if (streams == 0 || window == 0 || length == 0 || length >= std::size_t{1} << 30)
                     throw std::invalid_argument("streams, window and length must be positive");
                 const lmzip::Config& c = self.model().config();
                 return std::make_unique<lmzip::Cache>(lmzip::CacheShape{
                     c.layers, c.kv_heads, c.head_width, streams, window, sinks, length, c.memory, c.bos});
             })
        .def("forward",
             [](BoundModel& self, Array<const std::int64_t, 2> tokens, lmzip::Cache& cache,
                lmzip::States& states) {
                 const std::size_t count = tokens.shape(1);
                 if (tokens.shape(0) != cache.streams() || count == 0 || cache.streams() == 0)
                     throw std::invalid_argument("tokens must be [streams, count > 0]");
                 if (cache.position() + count > cache.shape().length)
                     throw std::invalid_argument("the cache is full");
                 for (std::size_t i = 0; i < tokens.size(); ++i)
                     if (tokens.data()[i] < 0 ||
                         static_cast<std::size_t>(tokens.data()[i]) >= self.model().config().vocab)
                         throw std::invalid_argument("a token lies outside the vocabulary");
                 self.run([&](lmzip::Model& model) {
                     model.forward(tokens.data(), count, cache, states);
                 });
             })
        .def("high",
             [](BoundModel& self, lmzip::States& states, Array<std::int32_t, 2> freqs) {
                 if (freqs.shape(0) != states.rows || freqs.shape(1) != self.model().high_digits())
                     throw std::invalid_argument("freqs must be [rows, high digits]");
                 self.run([&](lmzip::Model& model) { model.high(states, freqs.data()); });
             })
        .def("low", [](BoundModel& self, lmzip::States& states, Array<const std::int64_t, 1> high,
                       Array<std::int32_t, 2> freqs) {
            if (high.shape(0) != states.rows || freqs.shape(0) != states.rows || freqs.shape(1) != 256)
                throw std::invalid_argument("high must be [rows], freqs [rows, 256]");
            for (std::size_t i = 0; i < states.rows; ++i)
                if (high.data()[i] < 0 ||
                    static_cast<std::size_t>(high.data()[i]) >= self.model().high_digits())
                    throw std::invalid_argument("a high digit lies outside the vocabulary");
            self.run([&](lmzip::Model& model) { model.low(states, high.data(), freqs.data()); });
        });
    m.def(
        "instruction_sets",
        [] {
            std::vector<std::string> names;
            for (const lmzip::Kernels* kernels : lmzip::available_kernels()) names.push_back(kernels->name);
            return names;
        },
        "Those this machine can run, the fastest first.");
}

// An optional vector's values, or null. Throws if there are not n of them.
template <class T>
const T* optional_values(const std::optional<Array<const T, 1>>& array, std::size_t n, const char* name) {
    if (!array) return nullptr;
    if (array->shape(0) != n) throw std::invalid_argument(std::string(name) + " has a wrong length");
    return array->data();
}

std::shared_ptr<lmzip::mix::Vocabulary> make_vocabulary(Array<const std::uint32_t, 1> ends,
                                                        Array<const std::uint8_t, 1> bytes) {
    if (ends.shape(0) < 2 || ends.data()[0] != 0 || ends.data()[ends.shape(0) - 1] != bytes.shape(0))
        throw std::invalid_argument("the ends must cover the bytes");
    for (std::size_t i = 1; i < ends.shape(0); ++i)
        if (ends.data()[i] < ends.data()[i - 1]) throw std::invalid_argument("the ends decrease");
    auto made = std::make_shared<lmzip::mix::Vocabulary>();
    made->ends.assign(ends.data(), ends.data() + ends.shape(0));
    made->bytes.assign(bytes.data(), bytes.data() + bytes.shape(0));
    return made;
}

void bind_mixer(nb::module_& m) {
    using lmzip::RangeDecoder;
    using lmzip::RangeEncoder;
    using lmzip::mix::Mixer;
    using Rows = Array<const std::int32_t, 2>;
    using Known = Array<const std::int64_t, 1>;
    using Found = Array<std::int64_t, 1>;
    using Weights = std::optional<Array<const std::int8_t, 1>>;
    using Finals = std::optional<Array<const std::int16_t, 1>>;
    using Maps = std::optional<Array<const std::uint16_t, 1>>;
    const auto check = [](const Mixer& self, const Rows& freqs, std::size_t n, std::size_t others) {
        if (freqs.shape(0) > self.streams() || freqs.shape(0) != others || freqs.shape(1) != n)
            throw std::invalid_argument("rows must be those of the first streams");
    };
    const auto below = [](const Known& values, std::size_t end) {
        for (std::size_t i = 0; i < values.shape(0); ++i)
            if (values.data()[i] < 0 || static_cast<std::size_t>(values.data()[i]) >= end)
                throw std::invalid_argument("a token or digit lies outside the vocabulary");
    };
    const auto asked = [](const Mixer& self, std::size_t rows) {
        if (!self.may_low(rows)) throw std::invalid_argument("high digits must come before low ones");
    };
    nb::class_<lmzip::mix::Vocabulary>(m, "Vocabulary", "The bytes of every token.")
        .def(nb::new_(&make_vocabulary), "ends"_a, "bytes"_a);
    nb::class_<Mixer>(m, "Mixer", "Adaptive mixing for the streams of one block.")
        .def("__init__",
             [](Mixer* self, std::shared_ptr<lmzip::mix::Vocabulary> vocabulary, std::size_t streams, unsigned bits,
                const Weights& weights, const Finals& finals, const Maps& maps, const std::string& isa) {
                 const lmzip::mix::Shape shape(vocabulary->size());
                 if (streams == 0 || bits < 8 || bits > 24 || shape.bits > 19)
                     throw std::invalid_argument("there must be streams, 8 to 24 bits and at most 2^19 tokens");
                 const lmzip::mix::Start start{
                     optional_values(weights, shape.set_total * lmzip::mix::kInputs, "weights"),
                     optional_values(finals, shape.finals * 8, "finals"),
                     optional_values(maps, shape.map_cells(), "maps")};
                 new (self) Mixer(vocabulary, streams, bits, start, lmzip::find_kernels(isa));
             },
             "vocabulary"_a, "streams"_a, "bits"_a, "weights"_a = nb::none(), "finals"_a = nb::none(),
             "maps"_a = nb::none(), "isa"_a = "")
        .def("encode_high",
             [check, below](Mixer& self, Rows freqs, Known digits, RangeEncoder& coder) {
                 check(self, freqs, self.shape().digits, digits.shape(0));
                 below(digits, self.shape().digits);
                 nb::gil_scoped_release release;
                 self.encode_high(freqs.data(), freqs.shape(0), digits.data(), coder);
             })
        .def("decode_high",
             [check](Mixer& self, Rows freqs, Found digits, RangeDecoder& coder) {
                 check(self, freqs, self.shape().digits, digits.shape(0));
                 nb::gil_scoped_release release;
                 return self.decode_high(freqs.data(), freqs.shape(0), digits.data(), coder);
             },
             "freqs"_a, "digits"_a.noconvert(), "coder"_a)
        .def("encode_low",
             [check, below, asked](Mixer& self, Rows freqs, Known tokens, RangeEncoder& coder) {
                 check(self, freqs, 256, tokens.shape(0));
                 below(tokens, self.shape().vocab);
                 asked(self, freqs.shape(0));
                 nb::gil_scoped_release release;
                 self.encode_low(freqs.data(), freqs.shape(0), tokens.data(), coder);
             })
        .def("decode_low",
             [check, asked](Mixer& self, Rows freqs, Found tokens, RangeDecoder& coder) {
                 check(self, freqs, 256, tokens.shape(0));
                 asked(self, freqs.shape(0));
                 nb::gil_scoped_release release;
                 return self.decode_low(freqs.data(), freqs.shape(0), tokens.data(), coder);
             },
             "freqs"_a, "tokens"_a.noconvert(), "coder"_a)
        .def_prop_ro("model_bits", &Mixer::model_bits)
        .def("costs",
             [](Mixer& self, Array<double, 1> mixed, Array<double, 1> model) {
                 if (mixed.shape(0) != self.rows() || model.shape(0) != self.rows())
                     throw std::invalid_argument("one cost a row");
                 self.costs(mixed.data(), model.data());
             },
             "mixed"_a.noconvert(), "model"_a.noconvert())
        .def("prime",
             [below](Mixer& self, Known tokens) {
                 below(tokens, self.shape().vocab);
                 nb::gil_scoped_release release;
                 self.prime(tokens.data(), tokens.shape(0));
             })
        .def("restart", &Mixer::restart)
        .def("count_uses", &Mixer::count_uses)
        .def("forget", &Mixer::forget)
        .def("state",
             [](Mixer& self, Array<std::int16_t, 1> weights, Array<std::uint32_t, 1> uses, Array<std::int32_t, 1> finals,
                Array<std::uint32_t, 1> final_uses, Array<std::uint16_t, 1> maps) {
                 const lmzip::mix::Shape& shape = self.shape();
                 if (weights.shape(0) != shape.set_total * lmzip::mix::kInputs || uses.shape(0) != shape.set_total ||
                     finals.shape(0) != shape.finals * 8 || final_uses.shape(0) != shape.finals ||
                     maps.shape(0) != shape.map_cells())
                     throw std::invalid_argument("the arrays must have the sizes that `sizes` tells");
                 self.state(weights.data(), uses.data(), finals.data(), final_uses.data(), maps.data());
             })
        .def_prop_ro("set_sizes",
                     [](const Mixer& self) {
                         const auto& sizes = self.shape().set_sizes;
                         return std::vector<std::size_t>(sizes.begin(), sizes.end());
                     })
        .def_prop_ro("sizes", [](const Mixer& self) {
            const lmzip::mix::Shape& shape = self.shape();
            return nb::make_tuple(shape.set_total, shape.finals, shape.map_cells());
        });
}

void bind_coder(nb::module_& m) {
    using lmzip::RangeDecoder;
    using lmzip::RangeEncoder;
    const auto probabilities = [](Array<const std::int32_t, 1> p1, std::size_t count) {
        if (p1.shape(0) != count) throw std::invalid_argument("one probability a bit");
        for (std::size_t i = 0; i < count; ++i)
            if (p1.data()[i] < 1 || p1.data()[i] >= 1 << 24)
                throw std::invalid_argument("a probability is from 1 to 2^24 - 1");
    };
    nb::class_<RangeEncoder>(m, "RangeEncoder", "Symbols to bytes.")
        .def(nb::init<>())
        .def("encode",
             [](RangeEncoder& self, Array<const std::int32_t, 2> freqs, Array<const std::int64_t, 1> symbols) {
                 const std::size_t rows = freqs.shape(0), n = freqs.shape(1);
                 if (symbols.shape(0) != rows) throw std::invalid_argument("one symbol a row");
                 for (std::size_t i = 0; i < rows; ++i)
                     if (symbols.data()[i] < 0 || static_cast<std::size_t>(symbols.data()[i]) >= n)
                         throw std::invalid_argument("a symbol has no frequency");
                 nb::gil_scoped_release release;
                 self.encode(freqs.data(), symbols.data(), rows, n);
             })
        .def("encode_bits",
             [probabilities](RangeEncoder& self, Array<const std::int32_t, 1> p1, Array<const std::int64_t, 1> bits) {
                 probabilities(p1, bits.shape(0));
                 for (std::size_t i = 0; i < bits.shape(0); ++i)
                     if (bits.data()[i] != 0 && bits.data()[i] != 1) throw std::invalid_argument("a bit is 0 or 1");
                 for (std::size_t i = 0; i < bits.shape(0); ++i)
                     self.encode_bit(bits.data()[i] == 1, static_cast<std::uint32_t>(p1.data()[i]));
             })
        .def("add_ideal_bits", &RangeEncoder::add_ideal_bits)
        .def_prop_ro("words", &RangeEncoder::words)
        .def_prop_ro("ideal_bits", &RangeEncoder::ideal_bits)
        .def("finish", [](const RangeEncoder& self) {
            const auto bytes = self.finish();
            return nb::bytes(bytes.data(), bytes.size());
        });
    nb::class_<RangeDecoder>(m, "RangeDecoder", "Bytes to symbols.")
        .def("__init__",
             [](RangeDecoder* self, nb::bytes payload) {
                 const auto* data = static_cast<const std::uint8_t*>(payload.data());
                 new (self) RangeDecoder({data, data + payload.size()});
             })
        .def("decode",
             [](RangeDecoder& self, Array<const std::int32_t, 2> freqs, Array<std::int64_t, 1> symbols) {
                 if (symbols.shape(0) != freqs.shape(0) || freqs.shape(1) == 0)
                     throw std::invalid_argument("one symbol a row of freqs");
                 nb::gil_scoped_release release;
                 return self.decode(freqs.data(), symbols.data(), freqs.shape(0), freqs.shape(1));
             },
             "freqs"_a, "symbols"_a.noconvert(),
             "False if the payload is none of this coder's.")
        .def("decode_bits",
             [probabilities](RangeDecoder& self, Array<const std::int32_t, 1> p1, Array<std::int64_t, 1> bits) {
                 probabilities(p1, bits.shape(0));
                 for (std::size_t i = 0; i < bits.shape(0); ++i)
                     bits.data()[i] = self.decode_bit(static_cast<std::uint32_t>(p1.data()[i]));
                 return self.good();
             },
             "p1"_a, "bits"_a.noconvert(), "False if the payload is none of this coder's.");
}

// Blocks' coders and mixers, kept alive, in lockstep.
class BoundLockstep {
  public:
    using Rows = nb::ndarray<const std::int32_t, nb::ndim<2>, nb::device::cpu>;

    BoundLockstep(nb::list mixers, nb::list coders, Array<const std::int64_t, 1> streams, std::size_t threads)
        : mixers_(std::move(mixers)), coders_(std::move(coders)) {
        if (mixers_.size() != coders_.size() || coders_.size() != streams.shape(0))
            throw std::invalid_argument("every block has a coder, a mixer or None, and streams");
        std::vector<lmzip::Lockstep::Block> blocks;
        for (std::size_t b = 0; b < coders_.size(); ++b) {
            lmzip::Lockstep::Block block{};
            if (!mixers_[b].is_none()) block.mixer = nb::cast<lmzip::mix::Mixer*>(mixers_[b]);
            if (nb::isinstance<lmzip::RangeEncoder>(coders_[b]))
                block.encoder = nb::cast<lmzip::RangeEncoder*>(coders_[b]);
            else
                block.decoder = nb::cast<lmzip::RangeDecoder*>(coders_[b]);
            block.streams = static_cast<std::size_t>(streams.data()[b]);
            if (block.mixer && block.streams > block.mixer->streams())
                throw std::invalid_argument("a mixer has too few streams");
            blocks.push_back(block);
        }
        steps_ = std::make_unique<lmzip::Lockstep>(std::move(blocks), threads);
    }

    // In place, what is coded: `digits`, or `tokens` behind them.
    bool code(Rows freqs, Array<const std::int64_t, 1> active, Array<std::int64_t, 1> digits,
              Array<std::int64_t, 1> tokens, bool low) {
        const auto& blocks = steps_->blocks();
        const std::size_t n = freqs.shape(1);
        if (freqs.shape(0) != steps_->streams() || n == 0 || (low && n != 256) || 
            (n > 1 && freqs.stride(1) != 1) ||
            (freqs.shape(0) > 1 && freqs.stride(0) < static_cast<std::int64_t>(n)) || active.shape(0) != blocks.size() ||
            digits.shape(0) != steps_->streams() || tokens.shape(0) != steps_->streams())
            throw std::invalid_argument("arrays must be of all blocks' streams");
        for (std::size_t b = 0, i = 0; b < blocks.size(); i += blocks[b++].streams) {
            const auto rows = static_cast<std::size_t>(active.data()[b]);
            if (rows > blocks[b].streams) throw std::invalid_argument("more streams go on than there are");
            const auto* mixer = blocks[b].mixer;
            if (mixer && !low && mixer->shape().digits != n)
                throw std::invalid_argument("a mixer has other digits");
            if (mixer && low && rows && !mixer->may_low(rows))
                throw std::invalid_argument("high digits must come before low ones");
            for (std::size_t row = i; row < i + rows; ++row) {
                if (blocks[b].encoder &&
                    (tokens.data()[row] < 0 || (low ? tokens.data()[row] >> 8 != digits.data()[row]
                                                    : tokens.data()[row] >> 8 >= static_cast<std::int64_t>(n))))
                    throw std::invalid_argument("a token has no frequency");
                if (blocks[b].encoder && mixer &&
                    tokens.data()[row] >= static_cast<std::int64_t>(mixer->shape().vocab))
                    throw std::invalid_argument("a token lies outside the vocabulary");
            }
        }
        nb::gil_scoped_release release;
        const std::size_t stride = freqs.shape(0) > 1 ? static_cast<std::size_t>(freqs.stride(0)) : n;
        return low ? steps_->low(freqs.data(), stride, active.data(), digits.data(), tokens.data())
                   : steps_->high(freqs.data(), stride, n, active.data(), tokens.data(), digits.data());
    }

  private:
    nb::list mixers_, coders_;
    std::unique_ptr<lmzip::Lockstep> steps_;
};

void bind_lockstep(nb::module_& m) {
    nb::class_<BoundLockstep>(m, "Lockstep", "Blocks that mix and code a step of their streams together.")
        .def(nb::init<nb::list, nb::list, Array<const std::int64_t, 1>, std::size_t>(), "mixers"_a, "coders"_a,
             "streams"_a, "threads"_a)
        .def("code", &BoundLockstep::code, "freqs"_a.noconvert(), "active"_a, "digits"_a.noconvert(),
             "tokens"_a.noconvert(), "low"_a, "False if a payload is none of this coder's.");
}

}  // namespace

NB_MODULE(_native, m) {
    m.doc() = "Kernels of lmzip; each has a readable twin in Python.";
    bind_model(m);
    bind_mixer(m);
    bind_coder(m);
    bind_lockstep(m);
    m.def(
        "frequencies",
        [](Array<const std::int32_t, 2> weights, Array<std::int32_t, 2> freqs) {
            if (weights.shape(0) != freqs.shape(0) || weights.shape(1) != freqs.shape(1) ||
                weights.shape(1) == 0)
                throw std::invalid_argument("weights and freqs must have one shape, [rows, n > 0]");
            nb::gil_scoped_release release;
            lmzip::frequencies(weights.data(), freqs.data(), weights.shape(0), weights.shape(1));
        },
        "weights"_a.noconvert(), "freqs"_a.noconvert(),
        "Frequencies [rows, n] summing to 2**24 a row, from integer weights [rows, n].");
}

// Every kernel of every instruction set against the scalar one, bit for bit, at lengths around the
// vector widths and at the largest magnitudes; then whole models. `make sanitize` runs this under
// AddressSanitizer and UndefinedBehaviorSanitizer. Exit status 1 and a line for every difference.

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "../isa/isa.h"
#include "../model.h"

using namespace lmzip;

namespace {

int failures = 0;
int checks = 0;

void check(bool good, const std::string& what) {
    ++checks;
    if (good) return;
    ++failures;
    std::printf("FAILED %s\n", what.c_str());
}

std::mt19937 rng(1);

float normal(float scale) { return std::normal_distribution<float>(0, scale)(rng); }

template <class T>
struct Aligned {  // exactly as long as asked for, so that a sanitizer sees every overrun
    explicit Aligned(std::size_t n) : size(n), data(static_cast<T*>(::operator new[](n * sizeof(T), std::align_val_t{64}))) {
        std::memset(static_cast<void*>(data), 0, n * sizeof(T));
    }
    ~Aligned() { ::operator delete[](data, std::align_val_t{64}); }
    Aligned(const Aligned&) = delete;
    bool operator==(const Aligned& other) const {
        return size == other.size && std::memcmp(data, other.data, size * sizeof(T)) == 0;
    }
    std::size_t size;
    T* data;
};

struct Rows {
    Rows(std::size_t rows, std::size_t columns)
        : stride(wide(columns)), q(round_up(rows, 16) * stride), step(round_up(rows, 16)), sum(round_up(rows, 16)) {}
    Quantized view() { return {q.data, step.data, sum.data, stride}; }
    bool operator==(const Rows& other) const { return q == other.q && step == other.step && sum == other.sum; }
    std::size_t stride;
    Aligned<std::int8_t> q;
    Aligned<float> step;
    Aligned<std::int32_t> sum;
};

// magnitude 0: random; otherwise every weight and activation has that magnitude.
struct Weights16 {
    Weights16(std::size_t rows, std::size_t columns, int magnitude)
        : tiles(round_up(rows, 16) * round_up(columns, 4)), scales(padded(rows)) {
        std::uniform_int_distribution<int> any(-127, 127);
        for (std::size_t i = 0; i < tiles.size; ++i)
            tiles.data[i] = static_cast<std::uint8_t>(128 + (magnitude ? (rng() % 2 ? magnitude : -magnitude) : any(rng)));
        for (std::size_t i = 0; i < rows; ++i) scales.data[i] = 0.001f * (1 + std::abs(normal(1)));
        matrix = {tiles.data, scales.data, rows, columns};
    }
    Aligned<std::uint8_t> tiles;
    Aligned<float> scales;
    Matrix matrix;
};

std::string at(const Kernels& k, const char* what, std::size_t a, std::size_t b = 0, std::size_t c = 0) {
    return std::string(k.name) + " " + what + " " + std::to_string(a) + " " + std::to_string(b) + " " + std::to_string(c);
}

void row_kernels(const Kernels& k) {
    for (const std::size_t width : {2, 6, 12, 15, 16, 17, 32, 40, 48, 64, 72, 96, 192, 320, 576, 1536}) {
        for (const float scale : {1.0f, 1e-30f, 3e4f}) {
            const std::size_t n = padded(width);
            Aligned<float> x(n), gain(n), scratch(n), y(padded(2 * width) + 16), y2(n), z2(n);
            for (std::size_t i = 0; i < width; ++i) x.data[i] = normal(scale), gain.data[i] = normal(1);
            if (scale == 3e4f) std::fill(x.data, x.data + width, scale);
            for (std::size_t i = 0; i < 2 * width; ++i) y.data[i] = normal(scale * 3);
            Rows one(1, width), two(1, width);
            kScalar.norm_quantize(x.data, gain.data, width, 1e-5f, scratch.data, one.view());
            k.norm_quantize(x.data, gain.data, width, 1e-5f, scratch.data, two.view());
            check(one == two, at(k, "norm_quantize", width));
            kScalar.gate_quantize(y.data, width, scratch.data, one.view());
            k.gate_quantize(y.data, width, scratch.data, two.view());
            check(one == two, at(k, "gate_quantize", width));
            std::memcpy(y2.data, x.data, n * sizeof(float));
            std::memcpy(z2.data, x.data, n * sizeof(float));
            kScalar.rotate_quantize(y2.data, width, one.view());
            k.rotate_quantize(z2.data, width, two.view());
            check(one == two && y2 == z2, at(k, "rotate_quantize", width));
        }
        Weights16 table(37, width, 0);
        Aligned<float> one(padded(width)), two(padded(width));
        for (const std::size_t token : {0, 15, 16, 36}) {
            kScalar.embed(table.matrix, token, one.data);
            k.embed(table.matrix, token, two.data);
            check(one == two, at(k, "embed", width, token));
        }
    }
}

void products(const Kernels& k) {
    for (const int magnitude : {0, 127}) {
        for (const std::size_t columns : {3, 4, 20, 64, 100, 128, 576, 1536}) {
            for (const std::size_t n : {1, 15, 16, 17, 33, 48, 80}) {
                Weights16 w(n, columns, magnitude);
                for (const std::size_t rows : {1, 2, 4, 5, 11, 12, 13, 16, 17, 31, 32, 33, 50}) {
                    Rows a(rows, columns);
                    for (std::size_t r = 0; r < rows; ++r) {
                        a.step.data[r] = 0.01f + static_cast<float>(r);
                        for (std::size_t i = 0; i < columns; ++i) {
                            const int q = magnitude ? (rng() % 2 ? magnitude : -magnitude) : static_cast<int>(rng() % 255) - 127;
                            a.q.data[r * a.stride + i] = static_cast<std::int8_t>(q);
                            a.sum.data[r] += q;
                        }
                    }
                    const std::size_t stride = padded(n), tiles = w.matrix.row_tiles();
                    Aligned<float> bias(stride), one(rows * stride), two(rows * stride);
                    for (std::size_t i = 0; i < n; ++i) bias.data[i] = normal(1);
                    for (std::size_t i = 0; i < one.size; ++i) one.data[i] = two.data[i] = normal(1);
                    for (const bool add : {false, true}) {
                        const float* b = add ? nullptr : bias.data;
                        kScalar.multiply(a.view(), rows, w.matrix, 0, tiles, b, add, one.data, stride);
                        k.multiply(a.view(), rows, w.matrix, 0, tiles, b, add, two.data, stride);
                        check(one == two, at(k, "multiply", rows, n, columns));
                    }
                    kScalar.logits(a.view(), rows, w.matrix, 0, tiles, one.data, stride);
                    k.logits(a.view(), rows, w.matrix, 0, tiles, two.data, stride);
                    check(one == two, at(k, "logits", rows, n, columns));
                    check(kScalar.greatest(one.data, stride) == k.greatest(one.data, stride), at(k, "greatest", n));
                    alignas(64) std::int32_t v[256] = {}, u[256] = {};
                    const float top = k.greatest(one.data, stride);
                    const auto s = kScalar.token_weights(one.data, top, stride, v);
                    check(s == k.token_weights(one.data, top, stride, u) && std::memcmp(v, u, sizeof v) == 0,
                          at(k, "token_weights", n));
                }
            }
        }
    }
}

// A whole model of seeded weights.
struct SmallModel {
    SmallModel(std::size_t heads, std::size_t kv_heads, std::size_t head_width, std::size_t width, std::size_t ffn,
               std::size_t vocab, bool norms)
        : config{2, width, heads, kv_heads, head_width, ffn, vocab, 1e-5f, 0.36f, {1, 5}} {
        const auto matrix = [&](std::size_t n, std::size_t k) {
            return matrices.emplace_back(std::make_unique<Weights16>(n, k, 0))->matrix;
        };
        const auto floats = [&](std::size_t n) -> const float* {
            auto& v = vectors.emplace_back(std::make_unique<Aligned<float>>(padded(n)));
            for (std::size_t i = 0; i < n; ++i) v->data[i] = normal(1);
            return v->data;
        };
        for (std::size_t j = 0; j < head_width / 2; ++j) turns.push_back(std::uint64_t{0x1234567812345678} >> j);
        weights.embed = matrix(vocab, width);
        weights.head = matrix(vocab, width);
        weights.norm = floats(width);
        weights.turns = turns.data();
        const std::size_t qkv = (heads + 2 * kv_heads) * head_width;
        for (std::size_t i = 0; i < config.layers; ++i)
            weights.layers.push_back({floats(width), floats(width), matrix(qkv, width), matrix(width, heads * head_width),
                                      matrix(2 * ffn, width), matrix(width, ffn), norms ? floats(qkv) : nullptr,
                                      norms ? floats(head_width) : nullptr, norms ? floats(head_width) : nullptr});
    }

    // All frequencies of `streams` streams of `count` tokens, fed in parts.
    std::vector<std::int32_t> run(const Kernels& kernels, std::size_t threads, std::size_t streams, std::size_t count,
                                  std::size_t part, std::size_t window, std::size_t sinks) const {
        Model model(config, weights, kernels, threads);
        Cache cache({config.layers, config.kv_heads, config.head_width, streams, window, sinks, count});
        const std::size_t digits = model.high_digits();
        std::vector<std::int32_t> all(streams * count * (digits + 256));
        for (std::size_t start = 0; start < count; start += part) {
            const std::size_t now = std::min(part, count - start);
            std::vector<std::int64_t> tokens(streams * now), wanted(streams * now);
            for (std::size_t s = 0; s < streams; ++s)
                for (std::size_t t = 0; t < now; ++t)
                    tokens[s * now + t] = static_cast<std::int64_t>((s * 7919 + (start + t) * 104729) % config.vocab);
            for (std::size_t i = 0; i < wanted.size(); ++i) wanted[i] = tokens[i] / 256;
            States states;
            std::vector<std::int32_t> high(states.rows), low;
            model.forward(tokens.data(), now, cache, states);
            high.resize(states.rows * digits);
            low.resize(states.rows * 256);
            model.high(states, high.data());
            model.low(states, wanted.data(), low.data());
            for (std::size_t s = 0; s < streams; ++s)
                for (std::size_t t = 0; t < now; ++t) {
                    auto to = all.begin() + static_cast<std::ptrdiff_t>((s * count + start + t) * (digits + 256));
                    const std::size_t row = s * now + t;
                    to = std::copy_n(high.begin() + static_cast<std::ptrdiff_t>(row * digits), digits, to);
                    std::copy_n(low.begin() + static_cast<std::ptrdiff_t>(row * 256), 256, to);
                }
        }
        return all;
    }

    Config config;
    Weights weights;
    std::vector<std::uint64_t> turns;
    std::vector<std::unique_ptr<Weights16>> matrices;
    std::vector<std::unique_ptr<Aligned<float>>> vectors;
};

void models(const Kernels& k) {
    const SmallModel plain(6, 2, 16, 64, 96, 600, false), normed(4, 1, 12, 40, 72, 300, true),
        wide_head(3, 3, 64, 128, 192, 257, true);
    for (const SmallModel* model : {&plain, &normed, &wide_head}) {
        for (const auto& [window, sinks] :
             {std::pair{100, 4}, {16, 4}, {7, 0}, {1, 1}, {2, 6}, {20, 40}, {2, 1000}}) {
            const auto w = static_cast<std::size_t>(window), s = static_cast<std::size_t>(sinks);
            const auto expected = model->run(kScalar, 1, 3, 70, 70, w, s);
            for (const std::size_t part : {70, 1, 11})
                for (const std::size_t threads : {1, 3})
                    check(model->run(k, threads, 3, 70, part, w, s) == expected, at(k, "model", w, s, part));
        }
        const auto expected = model->run(kScalar, 1, 33, 9, 9, 5, 2);
        check(model->run(k, 2, 33, 9, 2, 5, 2) == expected, at(k, "model of 33 streams", 0));
    }
}

}  // namespace

int main() {
    for (const Kernels* kernels : available_kernels()) {
        const int before = checks;
        row_kernels(*kernels);
        products(*kernels);
        models(*kernels);
        std::printf("%-12s %d checks\n", kernels->name, checks - before);
    }
    if (failures != 0) std::printf("%d of %d checks failed\n", failures, checks);
    return failures == 0 ? 0 : 1;
}

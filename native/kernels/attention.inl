// Rotary positions and the cache's new entries (NUMERICS.md, section 6), attention (section 7).

constexpr std::size_t kMaxHead = 1024;  // ModelConfig allows no wider head

inline void rotate_pairs(const float* x, std::size_t half, const float* cosine, const float* sine,
                         float* y) {
    for (std::size_t j = 0; j < half; ++j) {
        const float first = x[j], second = x[j + half];
        y[j] = first * cosine[j] - second * sine[j];
        y[j + half] = second * cosine[j] + first * sine[j];
    }
}

// The norm of one head's queries or keys, in place.
inline void head_norm(float* x, std::size_t width, const float* gain, float eps) {
    const F rms = set(root_mean_square(x, width, eps));
    for (std::size_t i = 0; i < padded(width); i += kLanes)
        store(x + i, load(x + i) / rms * load(gain + i));
}

static void write_key(const std::int8_t* q, std::size_t width, std::size_t slot, std::uint8_t* keys) {
    const std::size_t groups = width / 4;
    std::uint8_t* at = keys + slot / kTile * groups * 64 + slot % kTile * 4;
    for (std::size_t g = 0; g < groups; ++g)
        for (std::size_t i = 0; i < 4; ++i) at[g * 64 + i] = static_cast<std::uint8_t>(q[4 * g + i] + 128);
}

static void write_value(const std::int8_t* q, std::size_t width, std::size_t slot, std::int8_t* values) {
    std::int8_t* at = values + slot / 4 * width * 4 + slot % 4;
    for (std::size_t e = 0; e < width; ++e) at[4 * e] = q[e];
}

static void rotary(const RotaryJob& job) {
    const HeadShape& shape = job.shape;
    const std::size_t width = shape.width, half = width / 2, n = padded(width);
    alignas(64) float head[kMaxHead], turned[kMaxHead];
    alignas(64) std::int8_t bytes[kMaxHead];
    std::memset(head, 0, n * sizeof(float));
    std::memset(turned, 0, n * sizeof(float));
    for (std::size_t h = 0; h < shape.heads; ++h) {
        std::memcpy(head, job.qkv + h * width, width * sizeof(float));
        if (job.q_gain != nullptr) head_norm(head, width, job.q_gain, shape.eps);
        const std::size_t row = (h / shape.group * job.count + job.token) * shape.group + h % shape.group;
        rotate_pairs(head, half, job.cosine, job.sine, turned);
        quantize_row(turned, n, job.near.from(row));
        if (job.far_cosine != nullptr) {
            rotate_pairs(head, half, job.far_cosine, job.far_sine, turned);
            quantize_row(turned, n, job.far.from(row));
        }
    }
    const float* keys = job.qkv + shape.heads * width;
    const float* values = keys + shape.kv_heads * width;
    std::int32_t unused;
    for (std::size_t k = 0; k < shape.kv_heads; ++k) {
        const HeadCache& cache = job.caches[k];
        std::memcpy(head, keys + k * width, width * sizeof(float));
        if (job.k_gain != nullptr) head_norm(head, width, job.k_gain, shape.eps);
        rotate_pairs(head, half, job.cosine, job.sine, turned);
        quantize_row(turned, n, {bytes, cache.key_steps + job.slot, &unused, n});
        write_key(bytes, n, job.slot, cache.keys);
        std::memset(head, 0, n * sizeof(float));  // a norm may have left something behind the end
        std::memcpy(head, values + k * width, width * sizeof(float));
        quantize_row(head, n, {bytes, cache.value_steps + job.slot, &unused, n});
        write_value(bytes, n, job.slot, cache.values);
    }
}

// Which of 16 slots a token at `now` sees.
inline Mask visible(const std::int32_t* position, std::int32_t now, const AttendJob& job) {
    const I at = load_int(position);
    const Mask recent = less(set_int(now - job.window), at), sink = less(at, set_int(job.sinks));
    return both(less_equal(at, set_int(now)), either(recent, sink));
}

// Scores of all rows and slots, in units of one bit; what a token does not see gets -1e30.
inline void score(const AttendJob& job) {
    const HeadShape& shape = job.shape;
    const std::size_t groups = padded(shape.width) / 4;
    const Tiles keys{job.cache.keys, groups * 64, 64};
    const auto token = [&](std::size_t row) {
        return job.position + static_cast<std::int32_t>((job.first + row) / shape.group);
    };
    const auto scaled = [&](const Quantized& queries, std::size_t row, std::size_t slot, I sum) {
        return to_float(sum) * load(job.cache.key_steps + slot) *
               set(queries.step[row] * shape.score_scale);
    };
    const std::int32_t earliest = token(0), latest = token(job.rows - 1);
    const F hidden = set(-1.0e30f);
    key_product(job.near, job.rows, keys, groups, job.slots / kTile,
                [&](std::size_t row, std::size_t slot, I sum) {
                    F z = scaled(job.near, row, slot, sum);
                    const std::int32_t from = job.tile_first[slot / kTile];
                    const std::int32_t to = job.tile_last[slot / kTile];
                    const bool all = to <= earliest && (from > latest - job.window || to < job.sinks);
                    if (!all) z = select(visible(job.slot_position + slot, token(row), job), z, hidden);
                    store(job.scores + row * job.slots + slot, z);
                });
    if (job.far.q == nullptr) return;
    // The sinks again, as seen from min(position, window). There may be fewer than a stream may have.
    const std::size_t sinks = std::min(static_cast<std::size_t>(job.sinks), job.slots);
    const std::size_t tiles = (sinks + kTile - 1) / kTile;
    key_product(job.far, job.rows, keys, groups, tiles, [&](std::size_t row, std::size_t slot, I sum) {
        const I at = load_int(job.slot_position + slot);
        const Mask sink = both(less(at, set_int(job.sinks)), less_equal(at, set_int(token(row))));
        float* z = job.scores + row * job.slots + slot;
        store(z, select(sink, scaled(job.far, row, slot, sum), load(z)));
    });
}

// Every value step's exponent: the least e with step < 2^e.
inline void exponents(const AttendJob& job) {
    for (std::size_t i = 0; i < job.slots; i += kLanes)
        store(job.exponents + i,
              to_float(shift_right<23>(bits_of(load(job.cache.value_steps + i))) - set_int(126)));
}

// Ask for bytes that are wanted soon: while the weights are computed, the values come from memory.
inline void fetch([[maybe_unused]] const std::int8_t* at, [[maybe_unused]] std::size_t bytes) {
#if defined(__GNUC__)
    for (std::size_t i = 0; i < bytes; i += 64) __builtin_prefetch(at + i);
#endif
}

// The factor that turns a row's integer sums into outputs; its weights go into two 7-bit planes.
inline float weigh(const AttendJob& job, std::size_t row) {
    const std::size_t n = padded(job.shape.width);
    const float* z = job.scores + row * job.slots;
    const float* steps = job.cache.value_steps;
    F top = set(-1.0e30f), reach = set(-1.0e30f);
    for (std::size_t i = 0; i < job.slots; i += kLanes) {
        const F score = load(z + i);
        top = max(top, score);
        reach = max(reach, score + load(job.exponents + i));
    }
    const float most = max_lane(top);
    const float shift = std::ceil(max_lane(reach) - most);
    const F scale = set(power_of_two(14.0f - shift));
    const F subtrahend = set(most);
    std::uint8_t* high = job.planes + row * job.slots;
    std::uint8_t* low = job.planes + (job.rows + row) * job.slots;
    std::int64_t denominator = 0;
    constexpr std::size_t kRun = 1024;  // additions of at most 2^20 that fit a lane
    for (std::size_t start = 0; start < job.slots; start += kRun * kLanes) {
        const std::size_t end = std::min(job.slots, start + kRun * kLanes);
        I sum = set_int(0);
        for (std::size_t i = start; i < end; i += kLanes) {
            if (row == 0) fetch(job.cache.values + i * n, kLanes * n);
            const F w = exp2(load(z + i) - subtrahend);
            sum = sum + to_int(w * set(0x1p20f));
            const I whole = min(to_int(w * load(steps + i) * scale), set_int(16383));
            store_low_bytes(high + i, shift_right<7>(whole));
            store_low_bytes(low + i, bit_and(whole, set_int(127)));
        }
        denominator += sum_lanes(sum);
    }
    return power_of_two(shift + 6.0f) / static_cast<float>(denominator);
}

static void attend(const AttendJob& job) {
    const HeadShape& shape = job.shape;
    const std::size_t n = padded(shape.width);
    score(job);
    exponents(job);
    float factor[kAttendRows];
    for (std::size_t row = 0; row < job.rows; ++row) factor[row] = weigh(job, row);
    std::fill(job.totals, job.totals + job.rows * n, 0.0);
    constexpr std::size_t kExact = 1 << 16;  // slots whose sums fit int32
    for (std::size_t start = 0; start < job.slots; start += kExact) {
        const std::size_t count = std::min(kExact, job.slots - start);
        const Tiles values{reinterpret_cast<const std::uint8_t*>(job.cache.values) + start * n, 64, n * 4};
        value_product(job.planes + start, job.slots, 2 * job.rows, values, count, n / kTile,
                      [&](std::size_t row, std::size_t e, I sum) {
                          store_int(job.sums + row * n + e, sum);
                      });
        const std::int32_t* low = job.sums + job.rows * n;
        for (std::size_t i = 0; i < job.rows * n; ++i)
            job.totals[i] += 128.0 * static_cast<double>(job.sums[i]) + static_cast<double>(low[i]);
    }
    for (std::size_t row = 0; row < job.rows; ++row) {
        const std::size_t member = job.first + row;
        float* out = job.out + member / shape.group * job.out_stride + member % shape.group * shape.width;
        const double* totals = job.totals + row * n;
        for (std::size_t e = 0; e < shape.width; ++e)
            out[e] = static_cast<float>(totals[e]) * factor[row];
    }
}

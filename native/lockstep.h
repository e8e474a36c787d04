// One step of many streams: mix the predictions of each block's streams, and code them. Blocks have
// nothing to do with each other, so that threads may share them out.

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "coder/range_coder.h"
#include "mix/mixer.h"
#include "team.h"

namespace lmzip {

class Lockstep {
  public:
    // A block: its streams follow those of the block before. Either coder is there, the mixer may be null.
    struct Block {
        mix::Mixer* mixer;
        RangeEncoder* encoder;
        RangeDecoder* decoder;
        std::size_t streams;
    };

    Lockstep(std::vector<Block> blocks, std::size_t threads);

    const std::vector<Block>& blocks() const { return blocks_; }
    std::size_t streams() const { return streams_; }

    // The first active[b] streams of each block b go on: their high digits under the model's frequencies,
    // rows of n that are `stride` apart. `tokens` [streams] are what encoders are to code; `digits`
    // [streams] is left alone where no stream goes on. False if a payload does not decode.
    bool high(const std::int32_t* freqs, std::size_t stride, std::size_t n, const std::int64_t* active,
              const std::int64_t* tokens, std::int64_t* digits);
    // The same for whole tokens, given the high digits: rows of 256. Mixers learn them.
    bool low(const std::int32_t* freqs, std::size_t stride, const std::int64_t* active,
             const std::int64_t* digits, std::int64_t* tokens);

  private:
    struct Scratch {
        std::vector<std::int32_t> model;
        std::vector<std::int64_t> symbols;
    };
    // f(block, its first stream) for every block; false if any call was.
    template <class Function>
    bool each(const Function& f);

    std::vector<Block> blocks_;
    std::vector<std::size_t> first_;
    std::vector<Scratch> scratch_;
    std::size_t streams_ = 0;
    std::unique_ptr<Team> team_;
};

}  // namespace lmzip

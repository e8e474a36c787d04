// NEON with the dot-product extension (Armv8.2 and later: Apple M1, Graviton 2).

#include "includes.h"
#include "isa.h"

#if LMZIP_ARM
LMZIP_TARGET(LMZIP_DOTPROD)

namespace lmzip::neon {
#include "../simd/neon.h"
#include "kernels.inl"
}  // namespace lmzip::neon

namespace lmzip {
const Kernels kNeon = neon::table("neon");
}
LMZIP_TARGET_END
#endif

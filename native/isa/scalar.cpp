// Plain C++, on any machine.

#include "includes.h"
#include "isa.h"

namespace lmzip::scalar {
#include "../simd/scalar.h"
#include "kernels.inl"
}  // namespace lmzip::scalar

namespace lmzip {
const Kernels kScalar = scalar::table("scalar");
}

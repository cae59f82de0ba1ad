// Registers an operator's implementation for a dispatch key. The operators themselves, their schemas, are defined in
// Python.
#pragma once

#include <torch/csrc/stable/library.h>

// Two builds of the library can be loaded into one process if they have two namespaces.
#ifndef SKT_NAMESPACE
#define SKT_NAMESPACE skt_ext
#endif

// SKT_IMPLEMENT(CPU, m) { m.impl("name", TORCH_BOX(&function)); }
#define SKT_IMPLEMENT(key, m) SKT_IMPLEMENT_FOR(SKT_NAMESPACE, key, m)
#define SKT_IMPLEMENT_FOR(name, key, m) STABLE_TORCH_LIBRARY_IMPL(name, key, m)

# AEAD engines side by side; docs/dataplane.md explains the names.
sealcast_executable(aead_bench SOURCES ${CMAKE_CURRENT_LIST_DIR}/aead_bench.cc DEPENDS sealcast::aead benchmark::benchmark)
set_target_properties(aead_bench PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bench)

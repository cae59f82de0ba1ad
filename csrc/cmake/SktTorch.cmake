# Target skt_torch: headers and libraries of the LibTorch stable ABI; SKT_TORCH_FOLDER, where torch is installed. Both
# are asked from a Python interpreter. find_package(Torch) is not used: it demands the CUDA toolkit that torch itself
# was built with.
set(SKT_PYTHON python3 CACHE FILEPATH "Interpreter whose torch gives the headers")
set(SKT_TORCH_TARGET 2.10)                            # the oldest torch that the library loads under
set(skt_torch_target_version 0x020a000000000000)      # the same for torch's headers: major, minor in the two top bytes

execute_process(
  COMMAND ${SKT_PYTHON} -c "import torch, pathlib; print(torch.__version__, pathlib.Path(torch.__file__).parent, sep=';', end='')"
  OUTPUT_VARIABLE skt_torch_answer ERROR_VARIABLE skt_torch_error RESULT_VARIABLE skt_torch_status)
if(NOT skt_torch_status EQUAL 0)
  message(FATAL_ERROR "skt-ext: ${SKT_PYTHON} cannot import torch, whose headers are needed:\n${skt_torch_error}")
endif()
list(GET skt_torch_answer 0 skt_torch_version)
list(GET skt_torch_answer 1 SKT_TORCH_FOLDER)
string(REGEX MATCH "^[0-9]+\\.[0-9]+" skt_torch_release "${skt_torch_version}")
if(skt_torch_release VERSION_LESS SKT_TORCH_TARGET)
  message(FATAL_ERROR "skt-ext: torch >= ${SKT_TORCH_TARGET} is needed to build; ${SKT_PYTHON} has ${skt_torch_version}")
endif()
decide("torch ${skt_torch_version} in ${SKT_TORCH_FOLDER}; the library loads under torch >= ${SKT_TORCH_TARGET}")

add_library(skt_torch INTERFACE)
target_include_directories(skt_torch SYSTEM INTERFACE "${SKT_TORCH_FOLDER}/include")
target_compile_definitions(skt_torch INTERFACE
  TORCH_TARGET_VERSION=${skt_torch_target_version} "SKT_TORCH_TARGET=\"${SKT_TORCH_TARGET}\"")
foreach(name torch_cpu c10)
  # Not cached: the next build may come with another torch.
  find_library(skt_${name} ${name} PATHS "${SKT_TORCH_FOLDER}/lib" NO_DEFAULT_PATH NO_CACHE REQUIRED)
  target_link_libraries(skt_torch INTERFACE "${skt_${name}}")
endforeach()

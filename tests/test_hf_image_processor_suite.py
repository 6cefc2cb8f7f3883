"""transformers' own image processor tests (`ImageProcessingTestMixin`) on GalvmImageProcessor."""

from upstream import require_suite

import galvm_hf  # noqa: F401  (registers the classes)
from galvm_hf.configuration_galvm import GalvmConfig
from galvm_hf.image_processing_galvm import GalvmImageProcessor

require_suite()

from hf_image_processor_suite import make_image_processor_suite  # noqa: E402

TestGalvmImageProcessor = make_image_processor_suite(
    GalvmConfig,
    {"torchvision": GalvmImageProcessor, "pil": GalvmImageProcessor},
    tester_attrs={"size": {"height": 32, "width": 32}},
    skip={
        "test_backends_equivalence": (
            "fetches a photograph from the Hub; test_backends_equivalence_batched makes the same comparison without it"
        ),
        "test_call_numpy_4_channels": (
            "the model reads exactly three bands, so four channels without conversion to RGB are refused on purpose "
            "(test_image_processing_galvm.py tests the refusal)"
        ),
        "test_can_compile_torchvision_backend": "the processor works in numpy and OpenCV, which torch cannot compile",
        "test_pil_can_run_without_torchvision": (
            "its new process imports transformers alone, to which our class is unknown; "
            "test_image_processing_galvm.py makes the same test with the class imported"
        ),
        "test_image_processor_preprocess_arguments": (
            "tests two older ways to check arguments; ours is `valid_kwargs`, which test_valid_kwargs_set tests"
        ),
        "test_override_instance_attributes_does_not_affect_other_instances": (
            "needs an `image_mean`, and the model takes display values without normalisation"
        ),
        "test_fast_image_processor_explicit_none_preserved": (
            "needs `do_resize`, `do_rescale` or `do_normalize`, none of which applies"
        ),
    },
)

"""The head of tasks about galaxies sees standardised statistics of all stages."""

import torch

from galvm_hf import GalvmConfig, GalvmForImageClassification, GalvmModel
from galvm_hf.head_galvm import GalvmFeatureHead, num_statistics, stage_statistics


def make_head() -> GalvmFeatureHead:
    torch.manual_seed(0)
    config = GalvmConfig.tiny()
    return GalvmFeatureHead(config, 3).eval()


def features(number=200) -> torch.Tensor:
    """Features that differ little, around one that all share; one of them does not differ at all."""
    drawn = 0.6 + 0.02 * torch.randn(
        number, num_statistics(GalvmConfig.tiny()), generator=torch.Generator().manual_seed(1)
    )
    drawn[:, 3] = 0.5
    return drawn


def test_statistics_are_means_and_deviations_of_every_stage(small_config):
    model = GalvmModel(small_config).eval()
    with torch.no_grad():
        outputs = model(torch.rand(2, 3, 48, 64), output_hidden_states=True)
    seen = stage_statistics(outputs)
    assert seen.shape == (2, num_statistics(small_config))
    stages = [*outputs.hidden_states[:-1], outputs.last_hidden_state]
    expected = torch.cat([part for tokens in stages for part in (tokens.mean(1), tokens.std(1, correction=0))], dim=1)
    torch.testing.assert_close(seen, expected, rtol=1e-3, atol=1e-3)
    pooled = seen[:, -2 * small_config.hidden_size : -small_config.hidden_size]
    torch.testing.assert_close(pooled, outputs.pooler_output)


def test_statistics_of_an_even_image_have_a_gradient(small_config):
    model = GalvmModel(small_config)
    images = torch.full((1, 3, 64, 64), 0.5, requires_grad=True)
    outputs = model(images)
    stage_statistics(outputs).sum().backward()
    assert images.grad.isfinite().all()


def test_until_it_is_told_features_it_takes_them_as_they_are():
    head, drawn = make_head(), features()
    expected = head.fc2(torch.relu(head.fc1(drawn)))
    torch.testing.assert_close(head(drawn), expected)


def test_standardised_features_have_no_mean_and_unit_deviation():
    head, drawn, seen = make_head(), features(), []
    head.standardise(drawn)
    head.fc1.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    assert head(drawn).isfinite().all()
    varied = [index for index in range(drawn.shape[1]) if index != 3]
    torch.testing.assert_close(seen[0].mean(0)[varied], torch.zeros(len(varied)), rtol=0, atol=1e-4)
    torch.testing.assert_close(seen[0].std(0, correction=0)[varied], torch.ones(len(varied)), rtol=1e-3, atol=0)
    assert (seen[0][:, 3] == 0).all()


def test_galaxies_that_differ_little_are_told_apart_sooner():
    labels = (features()[:, 0] > 0.6).long()
    losses = {}
    for standardised in (False, True):
        head = make_head().train()
        if standardised:
            head.standardise(features())
        optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3)
        for _ in range(30):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(head(features()), labels)
            loss.backward()
            optimizer.step()
        losses[standardised] = loss.item()
    assert losses[True] < 0.3 < 0.6 < losses[False]


def test_what_it_was_told_is_saved_with_the_model_and_is_not_trained(small_config, tmp_path):
    model = GalvmForImageClassification(small_config)
    model.classifier.standardise(torch.rand(20, num_statistics(small_config)))
    model.save_pretrained(tmp_path)
    again = GalvmForImageClassification.from_pretrained(tmp_path)
    assert torch.equal(again.classifier.mean, model.classifier.mean)
    assert torch.equal(again.classifier.deviation, model.classifier.deviation)
    assert not {"classifier.mean", "classifier.deviation"} & dict(again.named_parameters()).keys()

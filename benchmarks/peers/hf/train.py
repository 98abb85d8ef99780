"""A small GPT-2 with transformers' Trainer, from text to a saved model, within the time given."""

import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))

from racing import SEPARATOR, Race, asked, prepare, warm_up_then_linear


class Windows:
    """Fixed windows of the token stream, as the usual `group_texts` makes them, or windows that begin anywhere."""

    def __init__(self, ids: Any, context: int, *, anywhere: bool) -> None:
        import torch

        self.ids = torch.from_numpy(ids)
        self.context = context
        self.anywhere = anywhere

    def __len__(self) -> int:
        return len(self.ids) // self.context

    def __getitem__(self, number: int) -> dict[str, Any]:
        import torch

        start = number * self.context
        if self.anywhere:
            start = int(torch.randint(len(self.ids) - self.context, (1,)))
        window = self.ids[start : start + self.context]
        return {"input_ids": window, "labels": window}


def main() -> None:
    """Trains and saves."""
    race = asked()
    settings = race.settings
    tokenizer, ids = prepare(race)
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast, Trainer, set_seed

    set_seed(race.seed)
    end = tokenizer.token_to_id(SEPARATOR)
    config = GPT2Config(
        vocab_size=tokenizer.get_vocab_size(),
        n_positions=settings["context"],
        n_embd=settings["width"],
        n_layer=settings["layers"],
        n_head=settings["heads"],
        bos_token_id=end,
        eos_token_id=end,
        **{name: settings["dropout"] for name in ("resid_pdrop", "embd_pdrop", "attn_pdrop") if "dropout" in settings},
    )
    model = GPT2LMHeadModel(config)
    windows = Windows(ids, settings["context"], anywhere=settings.get("anywhere", False))
    by_clock = settings["schedule"] == "clock"
    optimizers: tuple[Any, Any] = (None, None)
    if by_clock:
        optimizer = torch.optim.AdamW(_groups(model, settings), lr=settings["lr"], betas=(0.9, settings["beta2"]))
        optimizers = (optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, _factor(race)))
    trainer = Trainer(
        model=model,
        args=_arguments(race),
        train_dataset=windows,
        callbacks=[_stop(race)],
        optimizers=optimizers,
    )
    trainer.train()
    trainer.accelerator.unwrap_model(trainer.model, keep_torch_compile=False).save_pretrained(race.out)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=SEPARATOR).save_pretrained(race.out)
    race.report(params=model.num_parameters(), tokens_per_step=settings["batch"] * settings["context"])


def _groups(model: Any, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Weight decay for matrices only."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    return [{"params": matrices, "weight_decay": settings["weight_decay"]}, {"params": others, "weight_decay": 0.0}]


def _factor(race: Race) -> Any:
    """Learning rate by the clock; torch asks for it when the optimizer is built, before training begins."""
    settings = race.settings

    def factor(step: int) -> float:
        progress = race.progress() if step and race.ends else 0.0
        return max(1e-3, warm_up_then_linear(progress, warm_up=settings["warm_up"], decay=settings["decay"]))

    return factor


def _arguments(race: Race) -> Any:
    from transformers import TrainingArguments

    settings = race.settings
    return TrainingArguments(
        output_dir=str(race.out / "trainer"),
        max_steps=race.steps or 1_000_000,
        per_device_train_batch_size=settings["batch"],
        learning_rate=settings["lr"],
        warmup_steps=settings.get("warmup_steps", 0),
        bf16=settings.get("bf16", False),
        torch_compile=settings.get("compile", False),
        seed=race.seed,
        use_cpu=not _has_gpu(),
        save_strategy="no",
        report_to="none",
        logging_steps=200,
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _stop(race: Race) -> Any:
    """Ends training when another step would end too late."""
    from transformers import TrainerCallback

    class Deadline(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            race.begin()

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if race.step_ended():
                control.should_training_stop = True

    return Deadline()


if __name__ == "__main__":
    main()

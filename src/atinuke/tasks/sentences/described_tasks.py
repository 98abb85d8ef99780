"""The tasks of all described data sets, by the names that the register knows them under."""

from atinuke.tasks.sentences.glue_sets import AX, COLA, MNLI, MRPC, QNLI, QQP, RTE, SST2, STSB, WNLI
from atinuke.tasks.sentences.inference_sets import SCITAIL, SICK, SICK_R, SNLI
from atinuke.tasks.sentences.sentence_task import task_of

Cola = task_of(COLA)
Sst2 = task_of(SST2)
Mrpc = task_of(MRPC)
Qqp = task_of(QQP)
Stsb = task_of(STSB)
Mnli = task_of(MNLI)
Qnli = task_of(QNLI)
Rte = task_of(RTE)
Wnli = task_of(WNLI)
Ax = task_of(AX)

Snli = task_of(SNLI)
Sick = task_of(SICK)
SickR = task_of(SICK_R)
SciTail = task_of(SCITAIL)

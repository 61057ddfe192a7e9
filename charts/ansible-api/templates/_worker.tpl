{{/* The pod of a pool; of (dict "root" $ "name" "default" "pool" {…}). */}}
{{- define "ansible-api.workerPod" -}}
{{- $root := .root -}}
{{- $pool := .pool -}}
{{- $once := eq $pool.mode "job" -}}
{{- $cancelGrace := int (default 5 (default $root.Values.config.cancel_grace $pool.config.cancel_grace)) -}}
metadata:
  labels:
    {{- include "ansible-api.labels" (dict "root" $root "component" "worker") | nindent 4 }}
    ansible-api/pool: {{ .name }}
  annotations:
    checksum/config: {{ include "ansible-api.settings" $root | sha256sum }}
    {{- if or $once (gt (int $pool.drain) 0) }}
    # An autoscaler of nodes waits for minutes only; a play that it cuts off is lost.
    cluster-autoscaler.kubernetes.io/safe-to-evict: "false"
    karpenter.sh/do-not-disrupt: "true"
    {{- end }}
    {{- with $pool.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- include "ansible-api.podBasics" (dict "root" $root "podSecurityContext" $pool.podSecurityContext) | nindent 2 }}
  serviceAccountName: {{ include "ansible-api.serviceAccount" $root }}
  {{- with $pool.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  {{- if $once }}
  restartPolicy: Never
  {{- end }}
  # What it may take to drain, the grace, the pause before SIGKILL of a play, and some seconds to write it all down.
  terminationGracePeriodSeconds: {{ add (int $pool.drain) (int $pool.grace) $cancelGrace 20 }}
  {{- include "ansible-api.placement" (dict "root" $root "place" $pool "labels" (include "ansible-api.poolSelector" .)) | nindent 2 }}
  initContainers:
    {{- include "ansible-api.wait" $root | nindent 4 }}
  containers:
    - name: worker
      {{- include "ansible-api.container" (dict "root" $root "securityContext" $pool.securityContext) | nindent 6 }}
      args:
        - worker
        {{- range $pool.queues }}
        - --queue
        - {{ . }}
        {{- end }}
        - --concurrency
        - {{ $pool.concurrency | int | quote }}
        {{- if $once }}
        - --once
        {{- end }}
      env:
        {{- include "ansible-api.env" $root | nindent 8 }}
        - name: ANSIBLE_API_SHUTDOWN_GRACE
          value: {{ $pool.grace | int | quote }}
        - name: ANSIBLE_API_WORKER_ADDRESS
          value: {{ $root.Values.bindAddress | quote }}
        - name: ANSIBLE_API_WORKER_PORT
          value: "9100"
        {{- range $name, $value := fromJson (include "ansible-api.variables" $pool.config) }}
        - name: {{ $name }}
          value: {{ $value | quote }}
        {{- end }}
        {{- with $root.Values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      envFrom:
        {{- include "ansible-api.envFrom" $root | nindent 8 }}
      ports:
        - name: metrics
          containerPort: 9100
      startupProbe:
        httpGet: {path: /health, port: metrics}
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: 36
      readinessProbe:
        httpGet: {path: /health, port: metrics}
        periodSeconds: 15
        timeoutSeconds: 5
      livenessProbe:
        httpGet: {path: /health, port: metrics}
        periodSeconds: 20
        timeoutSeconds: 10
        failureThreshold: 3
      {{- if gt (int $pool.drain) 0 }}
      lifecycle:
        preStop:
          exec:
            # Its limit leaves the rest of the pod's grace to SIGTERM and to what runs too long.
            command: [ansible-api, worker, drain, --timeout, {{ $pool.drain | int | quote }}]
      {{- end }}
      resources:
        {{- toYaml $pool.resources | nindent 8 }}
      volumeMounts:
        {{- include "ansible-api.mounts" $root | nindent 8 }}
        {{- with $root.Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    {{- include "ansible-api.volumes" (dict "root" $root "state" (default (dict "emptyDir" (dict "sizeLimit" $pool.stateSize)) $pool.stateVolume)) | nindent 4 }}
    {{- with $root.Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* The labels by which the pods of a pool are found; of the same dict. */}}
{{- define "ansible-api.poolSelector" -}}
{{ include "ansible-api.selector" (dict "root" .root "component" "worker") }}
ansible-api/pool: {{ .name }}
{{- end -}}

{{- define "ansible-api.poolName" -}}
{{ include "ansible-api.fullname" .root }}-worker-{{ .name }}
{{- end -}}

{{/* Jobs that run count, too: otherwise a worker that is busy with the last of them would be scaled away. Of a concurrency
group, which is at home in one team, no more than may run at once: the rest would keep idle workers. In job mode only
what waits: a pod is never scaled away, and one that has had its run takes no other, however long it stays. */}}
{{- define "ansible-api.kedaTrigger" -}}
- type: mysql
  metadata:
    query: >-
      SELECT COALESCE(SUM(number), 0) FROM (
      {{- if eq .pool.mode "job" }}
      SELECT LEAST(SUM(status = 'queued'),
      GREATEST(0, COALESCE(MAX(concurrency_limit) - SUM(status = 'running'), COUNT(*)))) AS number
      {{- else }}
      SELECT LEAST(COUNT(*), COALESCE(MAX(concurrency_limit), COUNT(*))) AS number
      {{- end }}
      FROM jobs WHERE status IN ('queued', 'running') AND queue IN ('{{ join "', '" .pool.queues }}')
      AND (status = 'running' OR ((next_attempt_at IS NULL OR next_attempt_at <= UTC_TIMESTAMP(6))
      AND queue NOT IN (SELECT queue FROM queue_pauses)))
      GROUP BY team, concurrency_group) AS wanted
    queryValue: {{ .pool.concurrency | int | quote }}
    activationQueryValue: "0"
  authenticationRef:
    name: {{ include "ansible-api.fullname" .root }}
{{- end -}}

{{/* Names, labels and settings. */}}

{{- define "ansible-api.fullname" -}}
{{- $name := .Release.Name -}}
{{- if not (contains .Chart.Name $name) -}}{{- $name = printf "%s-%s" $name .Chart.Name -}}{{- end -}}
{{- default $name .Values.fullnameOverride | trunc 32 | trimSuffix "-" -}}
{{- end -}}

{{/* Of (dict "root" $ "component" "api"). */}}
{{- define "ansible-api.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "ansible-api.labels" -}}
{{ include "ansible-api.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "ansible-api.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "ansible-api.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{ default "default" .Values.serviceAccount.name }}
{{- end -}}
{{- end -}}

{{/* The first map with what the second says instead, in JSON; Helm's mergeOverwrite may keep what false or 0 shall replace. */}}
{{- define "ansible-api.over" -}}
{{- $all := deepCopy (index . 0) -}}
{{- range $key, $value := index . 1 -}}
{{- $_ := set $all $key $value -}}
{{- end -}}
{{- toJson $all -}}
{{- end -}}

{{/* A value as the text of an environment variable; numbers of values.yaml are floats, sizes must not become 1e+10. */}}
{{- define "ansible-api.text" -}}
{{- if or (kindIs "map" .) (kindIs "slice" .) -}}
{{- toJson . -}}
{{- else if and (kindIs "float64" .) (eq (float64 .) (floor .)) -}}
{{- printf "%.0f" . -}}
{{- else -}}
{{- toString . -}}
{{- end -}}
{{- end -}}

{{/* A map of settings (config) as a map of environment variables, in JSON. */}}
{{- define "ansible-api.variables" -}}
{{- $variables := dict -}}
{{- range $name, $value := . -}}
{{- $_ := set $variables (printf "ANSIBLE_API_%s" (upper $name)) (include "ansible-api.text" $value) -}}
{{- end -}}
{{- toJson $variables -}}
{{- end -}}

{{/* The settings that all pods share, in JSON. */}}
{{- define "ansible-api.settings" -}}
{{- $settings := dict "state_dir" "/var/lib/ansible-api" -}}
{{- if .Values.objects.existingClaim -}}
{{- $_ := set $settings "objects_dir" "/var/lib/ansible-api-objects" -}}
{{- end -}}
{{- if and .Values.ingress.enabled .Values.ingress.host -}}
{{- $_ := set $settings "public_url" (printf "%s://%s" (ternary "https" "http" (ne .Values.ingress.tlsSecret "")) .Values.ingress.host) -}}
{{- end -}}
{{- include "ansible-api.variables" (fromJson (include "ansible-api.over" (list $settings .Values.config))) -}}
{{- end -}}

{{/* Secrets that are used: file name → where it comes from and the variable that names the file, in JSON. */}}
{{- define "ansible-api.secrets" -}}
{{- $variables := dict "masterKey" "MASTER_KEY" "databaseUrl" "DATABASE_URL" "redisUrl" "REDIS_URL" "brokerUrl" "BROKER_URL" "s3SecretAccessKey" "S3_SECRET_ACCESS_KEY" -}}
{{- $used := dict -}}
{{- range $field, $variable := $variables -}}
{{- $ref := get $.Values.secrets $field -}}
{{- if $ref.name -}}
{{- $_ := set $used (lower $variable) (dict "name" $ref.name "key" $ref.key "variable" (printf "ANSIBLE_API_%s_FILE" $variable)) -}}
{{- end -}}
{{- end -}}
{{- toJson $used -}}
{{- end -}}

{{/* A pool with what it does not say itself, in JSON; of (dict "root" $ "pool" $pool). */}}
{{- define "ansible-api.pool" -}}
{{- $pool := fromJson (include "ansible-api.over" (list .root.Values.workerDefaults .pool)) -}}
{{- if eq $pool.mode "job" -}}{{- $_ := set $pool "concurrency" 1 -}}{{- end -}}
{{- toJson $pool -}}
{{- end -}}

{{/* What cannot be told by the schema. */}}
{{- define "ansible-api.check" -}}
{{- $claim := .Values.objects.existingClaim -}}
{{- $bucket := .Values.config.s3_bucket -}}
{{- if and (not $claim) (not $bucket) -}}
{{- fail "config.s3_bucket or objects.existingClaim: logs need one of them" -}}
{{- end -}}
{{- if and $claim $bucket -}}
{{- fail "config.s3_bucket and objects.existingClaim: set one of them, not both" -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.host) -}}
{{- fail "ingress.host: say the name that callers use" -}}
{{- end -}}
{{- range $name, $given := .Values.workers -}}
{{- $pool := fromJson (include "ansible-api.pool" (dict "root" $ "pool" $given)) -}}
{{- if eq $pool.mode "job" -}}
{{- if has "delivery" $pool.queues -}}
{{- fail (printf "workers.%s.mode: a worker of delivery always stays, say deployment" $name) -}}
{{- end -}}
{{- if not $pool.keda -}}
{{- fail (printf "workers.%s.keda: mode job needs it, KEDA starts each run; or say mode: deployment there" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
